story  A VM of the manager's is cloned, and another goes back to a snapshot
about  An administrator clones a VM to try something; the copy carries everything along, a mark as well.

pool xenserver 6.2
host h1 64 GiB
host h2 64 GiB

vm web  8 GiB running on h1

00:00 manager connects
00:02 manager deploys i-2-3-VM 4 GiB running on h1
00:05 administrator clones i-2-3-VM as copy
00:06 administrator starts copy on h2
00:10 administrator snapshots i-2-3-VM as before
00:12 administrator reverts i-2-3-VM to before
00:15 administrator starts i-2-3-VM on h1
00:20 end
