story  VMs are shut down from inside
about  The users of three VMs shut them down: an alien, a VM of the manager's, and one that it keeps highly available.

pool xenserver 6.2
host h1 64 GiB
host h2 64 GiB

vm web  8 GiB running on h1

00:00 manager connects
00:02 manager deploys i-2-3-VM 4 GiB running on h1
00:02 manager deploys i-2-4-VM 4 GiB running on h2 ha
00:05 guest web shuts down
00:05 guest i-2-3-VM shuts down
00:05 guest i-2-4-VM shuts down
00:14 end
