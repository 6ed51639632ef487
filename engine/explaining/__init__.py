"""Why a file or directory was judged as it was: facts in, statements out."""
