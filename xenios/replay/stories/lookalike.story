story  An alien is named i-2-3-VM
about  Before the pool is added, somebody's VM has the very name that the manager will give to one of its own: restored from
about  a backup, say, or left by an older installation.

pool xenserver 6.2
host h1 64 GiB
host h2 64 GiB

vm web      8 GiB running on h1
vm payroll  8 GiB running on h1 called i-2-3-VM
vm ledger   4 GiB halted called i-2-4-VM

00:00 manager connects
00:03 manager deploys shop 4 GiB running on h2 called i-2-4-VM
00:06 manager is asked to stop shop
00:08 manager is asked to start shop on h2
00:13 end
