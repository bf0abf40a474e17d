"""The embedded PostgreSQL, Valkey and Kafka broker, and the processes of the stack.

Everything is run by one supervisord per project, which is started on first use and
ended by ``jobu down``. Nothing here decides about rows.
"""
