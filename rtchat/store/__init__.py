"""PostgreSQL: the schema, its migrations, and the SQL, one file a table.

Must never: know of sockets, rooms or the bus; hold a connection while waiting for anything else
than PostgreSQL. Statements run on PostgreSQL 15 to 18 and behind transaction-mode poolers.
"""
