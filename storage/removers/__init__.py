"""Taking files and directories away from a store: moving them aside, bringing them back, deleting them for good.

protocol    what is done through one door, whatever it speaks
factory     which module speaks to which door
posix, xrootd, webdav, s3
            one protocol each
links       telling a link from a file at a server that takes away what it leads to
looking     asking the store for one path and waiting for the answer
member      one store, or one data server of a cluster: a change is made only to what was looked at, and looked
            at again
keeper      all members of a store
"""
