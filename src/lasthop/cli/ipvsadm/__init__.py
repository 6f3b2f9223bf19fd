"""ipvsadm's command line: what LVS people type, said to a lasthop director.

Grammar, formats, texts and exit codes are those of ipvsadm 1.31; docs/ipvsadm.md says where lasthop differs. Every file
here needs the standard library alone, but for `command`, which is the door from `lasthop`: scripts start ipvsadm often.
"""
