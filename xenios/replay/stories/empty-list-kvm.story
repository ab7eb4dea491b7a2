story  The hypervisor answers with an empty list
about  For ten minutes libvirt answers every question, and shows no VM at all. Every VM runs on.

pool kvm
host h1 64 GiB
host h2 64 GiB

vm web   8 GiB running on h1
vm mail  4 GiB running on h2

00:00 manager connects
00:02 manager deploys i-2-3-VM 4 GiB running on h1
00:02 manager deploys i-2-4-VM 4 GiB running on h2 ha
00:05 hypervisor answers nothing
00:15 hypervisor answers again
00:20 end
