story  An alien is named i-2-3-VM
about  Before the host is added, somebody's VMs have names that the manager will give to its own. One runs and one is off.
about  A libvirt host has no two VMs of one name: what becomes of the one that is off when its name is needed?

pool kvm
host h1 64 GiB
host h2 64 GiB

vm web      8 GiB running on h1
vm payroll  8 GiB running on h1 called i-2-3-VM
vm ledger   4 GiB halted on h1 called i-2-4-VM

00:00 manager connects
00:03 manager deploys shop 4 GiB running on h1 called i-2-4-VM
00:06 manager is asked to stop shop
00:08 manager is asked to start shop on h1
00:13 end
