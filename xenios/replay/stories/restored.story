story  The database is restored from yesterday
about  What the manager deployed since then, and a stop that was asked for, are not in the database any more.

pool xenserver 6.2
host h1 64 GiB
host h2 64 GiB

vm web  8 GiB running on h1

00:00 manager connects
00:02 manager deploys i-2-3-VM 4 GiB running on h1
00:03 manager deploys i-2-4-VM 2 GiB running on h1
00:05 manager saves its database as yesterday
20:00 manager deploys i-2-5-VM 4 GiB running on h2
20:05 manager is asked to stop i-2-4-VM
24:00 manager restores its database from yesterday
24:06 end
