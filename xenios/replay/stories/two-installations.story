story  Two installations share a pool
about  A second installation of the same manager is connected to the pool, for a test that nobody told the others about.
about  Each then moves and stops what it made itself.

pool xenserver 6.2
host h1 64 GiB
host h2 64 GiB

vm web  8 GiB running on h1

00:00 manager connects
00:02 manager deploys shop 8 GiB running on h1 called i-2-3-VM
00:05 second manager connects
00:08 second manager deploys trial 4 GiB running on h2 called i-2-4-VM
00:12 administrator moves trial to h1
00:15 manager restarts
00:20 end
