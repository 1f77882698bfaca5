"""The local suite: everything that BMASE consists of on one machine, under supervisord, with its data in one folder."""
