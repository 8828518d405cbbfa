# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One change of a database's schema at a time, whoever makes it: an advisory lock of the session that stays."""

from __future__ import annotations

import time

from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.psql import DatabaseError, Session

KEY = 7235421190654203
LINGERS_S = 5.0
LOOK_S = 0.2
LOOKS = 5
SERVER = "select to_json(pg_backend_pid())"
POOLED = (
    "this is a pooler that gives a server to each transaction, through which neither the lock timeout nor the lease of the "
    "database holds; name the database itself in nodewise_schema.database"
)
HOLDER = f"""select json_build_object('pid', a.pid, 'application', a.application_name, 'address', host(a.client_addr),
 'age_s', round(extract(epoch from now() - a.backend_start))) from pg_locks l join pg_stat_activity a using (pid)
 where l.locktype = 'advisory' and l.granted and l.objsubid = 1 and l.database = (select oid from pg_database
 where datname = current_database()) and (l.classid::bigint << 32 | l.objid::bigint) = {KEY} limit 1"""  # noqa: S608  (a number of ours)


def hold(session: Session) -> None:
    """Take it, for as long as the session lasts. DatabaseError names who has it.

    A session that has just ended may have it for another moment. Through a pooler that gives a server to each transaction it
    holds nothing: there, a second session of ours may come upon the same server.
    """
    until = time.monotonic() + LINGERS_S
    while not session.ask(f"select to_json(pg_try_advisory_lock({KEY}))"):
        if time.monotonic() > until:
            raise DatabaseError(_held(session))
        time.sleep(LOOK_S)
    with session.another() as other:
        for _look in range(LOOKS):
            if other.ask(SERVER) == session.ask(SERVER):
                session.ask(f"select to_json(pg_advisory_unlock({KEY}))")  # the pooler would keep it with the server
                raise DatabaseError(POOLED)


def _held(session: Session) -> str:
    who = session.ask(HOLDER) or {}
    shown = [f"pid {who.get('pid')}"]
    if who.get("age_s") is not None:  # of another user's session little is shown without pg_monitor
        shown += [f"from {who['address'] or 'this host'}", f"since {who['age_s']} s"]
    by = f"'{who.get('application')}' ({', '.join(shown)})"
    return f"the schema of this database is being changed by {by}; wait until that has ended"
