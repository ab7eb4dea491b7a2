story  The management server restarts
about  An administrator has made some VMs since the pool was added: one that is off and prefers a host, one whose name
about  happens to begin with s-, one with v-. Then the management server restarts, and every host connects again.

pool xenserver 6.2
host h1 64 GiB
host h2 64 GiB

vm web  8 GiB running on h1

00:00 manager connects
00:02 manager deploys i-2-3-VM 4 GiB running on h1
00:04 administrator creates backup 4 GiB halted prefers h2
00:04 administrator creates ledger 2 GiB halted prefers h1 called s-2-ledger
00:04 administrator creates desk 2 GiB running on h2 called v-1-desk
00:08 manager restarts
00:13 end
