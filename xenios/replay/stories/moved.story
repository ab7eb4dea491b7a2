story  VMs are moved by hand
about  An administrator moves a VM of his own and one of the manager's to another host.

pool xenserver 6.2
host h1 64 GiB
host h2 64 GiB

vm web  8 GiB running on h1

00:00 manager connects
00:02 manager deploys i-2-3-VM 4 GiB running on h1
00:05 administrator moves web to h2
00:08 administrator moves i-2-3-VM to h2
00:13 end
