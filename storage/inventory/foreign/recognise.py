"""Which dump the lines of a file are, told by the first of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from storage.inventory.foreign.dcache import DcacheForm
from storage.inventory.foreign.eos import EosForm
from storage.inventory.foreign.eos_lengths import EosLengthsForm
from storage.inventory.foreign.lfn import LfnToPath, identity_path
from storage.inventory.foreign.lines import LineForm
from storage.inventory.foreign.pipe import PipeForm
from storage.inventory.foreign.ral import RalForm
from storage.inventory.foreign.rucio import RucioForm
from storage.inventory.foreign.xrdfs import XrdfsForm
from storage.inventory.formats import Format

_FORMS: Mapping[Callable[[Sequence[bytes]], LineForm | None], Format] = {
    XrdfsForm.of: Format.XRDFS,
    EosLengthsForm.of: Format.EOS,
    EosForm.of: Format.EOS,
    DcacheForm.of: Format.DCACHE,
    PipeForm.of: Format.PIPE,
    RalForm.of: Format.RAL,
}
"""In the order in which they are tried, the most telling first; the dump of Rucio comes before all of them."""


def recognise_lines(
    sample: Sequence[bytes],
    first_line: int,
    wanted: Format | None = None,
    lfn_to_path: LfnToPath = identity_path,
) -> LineForm | None:
    """Tell the form of a dump from its first lines that say something, of which the first is line ``first_line``.

    With ``wanted`` only forms of that format are thought of.
    """
    lines = [line for line in sample if not line.startswith(b"#")] or sample
    if wanted in (None, Format.RUCIO):
        form = RucioForm.of(lines, first_line, lfn_to_path)
        if form is not None:
            return form
    if wanted is Format.RAL:
        # Who says so knows what is behind the first blank.
        return RalForm(to_blank=True)
    for recognise, format_ in _FORMS.items():
        if wanted in (None, format_):
            found = recognise(lines)
            if found is not None:
                return found
    # Where the names of all files begin with "#", nothing but the directories is left without them.
    return DcacheForm.of(sample) if wanted in (None, Format.DCACHE) and len(lines) < len(sample) else None
