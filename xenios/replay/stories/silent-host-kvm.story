story  A host goes silent
about  Nobody reaches h2 for ten minutes: a cable, a switch. Everything on it runs on.

pool kvm
host h1 64 GiB
host h2 64 GiB

vm web   8 GiB running on h1
vm mail  4 GiB running on h2

00:00 manager connects
00:02 manager deploys i-2-3-VM 4 GiB running on h1
00:02 manager deploys i-2-4-VM 4 GiB running on h2 ha
00:05 host h2 falls silent
00:15 host h2 comes back
00:20 end
