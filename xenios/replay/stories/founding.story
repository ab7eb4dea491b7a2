story  An administrator creates a VM in XenCenter after the pool was added
about  A XenServer pool in use is added to a manager that expects empty hosts. What runs there is not in its database.
about  Then the administrator goes on working as always: a VM of his own, and one whose name looks like CloudStack's.

pool xenserver 6.2
host h1 64 GiB
host h2 64 GiB

vm web      8 GiB running on h1
vm archive  4 GiB halted

00:00 manager connects
00:02 manager deploys i-2-3-VM 4 GiB running on h1
00:05 administrator creates crm 6 GiB running on h2
00:07 administrator creates lab 2 GiB running on h2 called i-9-9-LAB
00:12 end
