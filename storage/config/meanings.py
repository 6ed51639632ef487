"""What each key of a configuration means, in a line, for the schema that editors read.

The same words as in the table of ``docs/configuration.md``, without its links; a test compares them.
"""

from __future__ import annotations

MEANINGS: dict[str, str] = {
    "RootPath": "Everything that is listed is under this path; for CMS it is `/store`",
    "DirectoryList": "Directories inside `RootPath` to check",
    "IgnoreDirectories": "A path that contains one of these is left out",
    "IgnoreAge": (
        "What was changed less than this before the inventory was made is not judged; with 0, what changes during the"
        " run"
    ),
    "Doors": "Where the store is asked",
    "Layout": (
        "Whether each door answers for the whole store, or for a part of it; `auto` finds out. A single gateway of a "
        "shared file system, with a redirector above it, needs `shared`: until then none of its files is called "
        "missing. See clusters, a single door"
    ),
    "Lister": (
        "What talks to XRootD doors: `bindings` is XRootD's client library, `wire` speaks the protocol by itself and "
        "is faster; `auto` is `wire`, and the library where that does not do. See the two listers"
    ),
    "DataServers": (
        "How many data servers a cluster has; with fewer known, and without `Doors`, no file is called missing; `0` "
        "is not known"
    ),
    "GlobalRedirectors": "Who is asked when the site's own redirector does not answer, or none is named",
    "RedirectorAge": "How long a list of doors that were found is kept; 0 is for ever",
    "BannedDoors": "Doors that are never listed through, whoever names them; a host alone stands for all its ports",
    "Dump": "File with what the store holds, for a site whose method is RAL-Reader; see dumps",
    "DumpAge": (
        "How old the `Dump`, and an `Inventory` that is a file, may be by what they say; older ones are refused. With 0"
        " any age will do"
    ),
    "MaxMalformed": ("The part of the lines of a dump that may not fit; above, it is refused. With 0 all have to"),
    "Inventory": "File that says what the store should hold",
    "InventoryFormat": "How to read it; `auto` looks at its content. See lists and dumps",
    "InventoryTable": "The table, or view, of an inventory that is an SQLite database",
    "InventoryProcesses": (
        "Processes that read an inventory of text, this one included; others are started for a long one in some order"
        " alone. With null as many as the program may use cores, at most 4"
    ),
    "SecondInventory": (
        "The inventory that is read after the listing, and has to agree with each finding: `again` reads the same one"
        " again, `none` reads none; see second inventory"
    ),
    "Backend": "Who answers for inventory, registry, sites and the rest; see backends",
    "Backends": (
        "Another backend for some of these questions: inventory, registry, sites, deletions, check, blocks, datasets"
    ),
    "SQL": "The database that the backend `sql` asks; see backends",
    "Rucio": (
        "The Rucio that the backend `rucio` asks, and directories for programs around one; see its keys. Each of them "
        "in a site goes before the same one at the top level"
    ),
    "Runtime": (
        "How listers run: `ray` in processes of their own, `threads` inside the program. With null the command "
        "decides; a check takes `ray`"
    ),
    "RuntimeEnv": (
        "With a value, the nodes of a Ray cluster are sent this program for each run, and Ray sets up what stands "
        "here besides; `{}` sends the program alone. Ray shows it on its dashboard: no place for secrets"
    ),
    "NumThreads": "Listers that work at the same time",
    "Placement": (
        "Where the listers run on a cluster: what a node must have, amounts of Ray's resources (each lister takes "
        "that much) and values of labels"
    ),
    "CheckEvery": "How long after a check of a site began the next one is due, give or take a twentieth",
    "GFALThreads": (
        "Programs that run at a time at a site whose method is SRM; `NumThreads` and `Connections` do not count there"
    ),
    "InFlight": "Requests that each lister keeps in flight at most; how many it really does, the answers say",
    "Connections": (
        "Connections that each lister opens to each door at most. With null 16; 2 for the shells of `directx`"
    ),
    "Retries": "How often one directory is asked for again after a failure that may heal",
    "Timeout": "How long one request may take",
    "StallMinutes": (
        "With no answer of the store for so long, not even a refusal, a run ends; what was listed is kept for the "
        "next one. At least three times `Timeout`; with 0 a run waits for ever"
    ),
    "MaxDepth": "Directories deeper than this are not entered and count as unlisted",
    "Incremental": "Take directories that did not change over from the last complete listing, without a request",
    "IncrementalSample": "The share of these that is listed all the same, to see whether the store's times are true",
    "IncrementalFullRuns": "Every so many runs, nothing is taken over; with 1 that is every run",
    "IncrementalDelay": (
        "How long a store may go on showing an old time for a directory that has changed, because attributes are "
        "cached; the store's times are not doubted before"
    ),
    "Checksums": (
        "The share of the files whose checksums each run compares with the inventory's, those first that were compared "
        "the longest time ago: `1/1000` is each file once in a thousand runs. With null none; see checksums"
    ),
    "MaxChecksums": "How many files a run asks for their checksums at most; the others are next in the following run",
    "MaxChecksumSize": (
        "How many bytes a run reads at most for checksums that it has to work out by itself, as of a mounted file "
        "system"
    ),
    "ChecksumMinutes": "How long a run may ask for checksums; with 0 as long as it takes",
    "InventoryAge": "How long a cached inventory stays good; the default is four seconds",
    "ListAge": (
        "How long a stopped run can be gone on with after its last sign of life, and how long a cached listing of a "
        "site stays good"
    ),
    "MaxPlanAge": "How old a plan may be when it is applied; a site that acts applies its own at once",
    "Deletion": (
        "Who deletes orphans and empty directories: the `registry` of the backend, or this program itself at the "
        "`store`, with a plan, after asking again"
    ),
    "Quarantine": (
        "Where `Deletion: store` puts orphans aside before they are deleted for good, below RootPath; that directory, "
        "and no other one, is left out of listings; `none` deletes them at once"
    ),
    "QuarantineDays": (
        "How long what was put aside stays before `plan purge` deletes it; for as long nothing is planned again that "
        "`plan undo` has brought back"
    ),
    "SaveCache": "Keep cached trees that are replaced under a dated name",
    "VarLocation": (
        "Directory for snapshots, work files and the history; not in what a `file://` door lists, unless "
        "`IgnoreDirectories` names it, and neither are `WebDir` and `MetricsDir`"
    ),
    "WebDir": "Directory for the lists that a check writes",
    "MetricsDir": (
        "Directory for `SITE.prom`, in which a run of a site shows how far it is and what it found, in Prometheus' "
        "text format; see monitoring. Without it there is none"
    ),
    "MaxMissing": "With more missing files than this, report but act on nothing",
    "MaxOrphan": "With more orphans than this, report but act on nothing",
    "MaxMissingFraction": (
        "With more missing files than this part of the inventory's files, act on nothing. `0.01` suits most sites"
    ),
    "MaxOrphanFraction": (
        "With more orphans than this part of the store's files, act on nothing. `0.05` suits most sites"
    ),
    "MaxMissingSize": (
        "When what is missing has more than this, as far as sizes are known, act on nothing. `10TB` suits most sites"
    ),
    "MaxOrphanSize": "When the orphans have more than this, act on nothing. `50TB` suits most sites",
    "MaxUnlisted": (
        "With more than this part of the directories unlisted, report but act on nothing; one or two directories are "
        "never too many, unless it is 0"
    ),
    "MaxRunAge": (
        "Act on nothing that a run found whose inventory was read longer ago than this, whether its listing took so "
        "long, it was stopped meanwhile, or `invalidate` comes late; with 0 age does not matter"
    ),
    "MinFiles": (
        "A store, or an inventory, with fewer files than this part of what the last runs had fails the run; with 0 "
        "that does not matter. See safety gates"
    ),
    "MissingRuns": (
        "Ask only for files that were missing in so many runs in a row. While this is 2, all count in the first run "
        "of a site, which has none before it"
    ),
    "MissingDays": (
        "Ask only for files that are known to be missing for so long; so many runs have to have missed them as well"
    ),
    "OrphanRuns": "Have only orphans deleted that were found in so many runs in a row",
    "OrphanDays": "Have only orphans deleted that are known for so long, in as many runs as `OrphanRuns` says",
    "DeleteOrphans": "Whether orphans are reported at all; with `false` a check neither lists nor counts them",
    "UseTransferQueue": (
        "Whether missing files of a site that is set to act are asked for; with `false` nothing is ever brought back"
    ),
    "FreeMem": "Memory that must be available to start a check",
    "UnmergedLogsAge": "Age from which logs in `unmerged` are deletable",
    "ListDeletable": "Settings of the cleaning of `unmerged`; see its keys",
    "Email": "Who is told when a run fails that was given `--email`",
    "AccessMethod": (
        "What a site is listed with: the method; one that is not named is listed by the scheme of its doors"
    ),
    "PathPrefix": (
        "What goes before `RootPath` at the doors of a site that have no prefix of their own; a site without one is "
        "tried once with `/cms`"
    ),
    "Redirectors": "Who is asked for the doors of a site that names none; its domain is the site's. See finding doors",
    "UseLoadBalancer": "Sites listed through the redirector itself, by one lister over one connection",
    "Unmerged": "Sites whose `unmerged` directory is cleaned; see unmerged",
    "AdditionalLogDeletions": (
        "Directories inside `RootPath` whose files are logs when a cleaning is told `--more-logs`"
    ),
    "Pool": (
        "Listers of all sites together that work at a time; see sharing listers. With null as many as the sites have"
    ),
    "DoorLimits": "Listers of all sites together that ask a door at a time; a door without a port has 1094",
    "Sites": "Settings of each site, by its name",
}
