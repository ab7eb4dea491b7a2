story  An administrator creates a VM with virsh after the host was added
about  On KVM, CloudStack drops names that are not of its own forms, so these VMs live. Its figures do not know them.

pool kvm
host h1 64 GiB

vm web      8 GiB running on h1
vm archive  4 GiB halted on h1

00:00 manager connects
00:02 manager deploys i-2-3-VM 4 GiB running on h1
00:05 administrator creates crm 6 GiB running on h1
00:07 administrator creates lab 2 GiB running on h1 called i-9-9-LAB
00:12 end
