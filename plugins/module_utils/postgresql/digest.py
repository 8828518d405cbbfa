# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Digests of what a member holds: its catalogs, the sentinel rows, and on request every row. All are the same on all members.

The texts are sorted by "C", as two hosts may sort by a language's rules differently. What vacuum writes in place is left out.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.access import Access, Member, PostgresqlError
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.session import Sessions

CATALOG_S, TABLES_S = 30.0, 900.0  # seconds that one database may take

# What belongs to all databases is read in each of them, which costs nothing.
_SHARED = """
  select format('database %s', row(oid, datname, datdba, encoding, datcollate, datctype, datacl)) from pg_database
  union all select format('role %s', row(oid, rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin,
    rolreplication, rolconnlimit, rolbypassrls)) from pg_roles
  union all select format('membership %s', row(roleid, member, admin_option)) from pg_auth_members
  union all select format('setting %s', row(setdatabase, setrole, setconfig)) from pg_db_role_setting
  union all select format('tablespace %s', row(oid, spcname, spcowner, spcacl)) from pg_tablespace"""

# Numbers below 16384 are PostgreSQL's own objects, the same in every cluster of a major version.
_CATALOG = f"""
with own as (select oid from pg_namespace where nspname !~ '^pg_(temp|toast)'), lines (line) as ({_SHARED}
  union all select format('schema %s', row(oid, nspname, nspowner, nspacl)) from pg_namespace
    where oid in (select oid from own) and (oid >= 16384 or nspname = 'public')
  union all select format('class %s', row(oid, relname, relnamespace, reltype, relowner, relam, reltablespace, relhasindex,
    relpersistence, relkind, relnatts, relchecks, relrowsecurity, relforcerowsecurity, relispartition, relacl, reloptions))
    from pg_class where oid >= 16384 and relnamespace in (select oid from own)
  union all select format('column %s', row(attrelid, attname, atttypid, attlen, attnum, atttypmod, attnotnull, atthasdef,
    attidentity, attgenerated, attisdropped, attcollation, attacl, attoptions))
    from pg_attribute where attrelid in (select oid from pg_class where oid >= 16384 and relnamespace in (select oid from own))
  union all select format('default %s', row(oid, adrelid, adnum, md5(adbin::text))) from pg_attrdef where oid >= 16384
  union all select format('index %s', row(indexrelid, indrelid, indisunique, indisprimary, indisvalid, indisready, indkey::text,
    md5(indexprs::text), md5(indpred::text))) from pg_index where indexrelid >= 16384
  union all select format('constraint %s', row(oid, conname, connamespace, contype, condeferrable, condeferred, convalidated,
    conrelid, conindid, confrelid, conkey, confkey, md5(conbin::text))) from pg_constraint where oid >= 16384
  union all select format('function %s', row(oid, proname, pronamespace, proowner, prolang, prosecdef, provolatile, prorettype,
    proargtypes::text, md5(prosrc), proconfig, proacl)) from pg_proc where oid >= 16384 and pronamespace in (select oid from own)
  union all select format('type %s', row(oid, typname, typnamespace, typowner, typtype, typnotnull, typbasetype, typacl))
    from pg_type where oid >= 16384 and typnamespace in (select oid from own)
  union all select format('label %s', row(oid, enumtypid, enumsortorder, enumlabel)) from pg_enum
  union all select format('trigger %s', row(oid, tgrelid, tgname, tgfoid, tgtype, tgenabled)) from pg_trigger where oid >= 16384
  union all select format('rule %s', row(oid, rulename, ev_class, ev_type, ev_enabled, md5(ev_action::text)))
    from pg_rewrite where oid >= 16384
  union all select format('policy %s', row(oid, polname, polrelid, polcmd, polpermissive, polroles)) from pg_policy
  union all select format('extension %s', row(oid, extname, extowner, extnamespace, extversion)) from pg_extension
  union all select format('publication %s', row(oid, pubname, pubowner, puballtables)) from pg_publication
  union all select format('sequence %s', row(seqrelid, seqtypid, seqstart, seqincrement, seqmax, seqmin, seqcache, seqcycle))
    from pg_sequence)
select md5(string_agg(line, E'\\n' order by line collate "C")) from lines"""  # noqa: S608

# The statement inside is only made where the table is there; rows that come later are not looked at.
_SENTINEL = """(select case when there is not null then
  (xpath('/row/d/text()', query_to_xml('{}', true, true, '')))[1]::text end from to_regclass('nodewise.sentinel') there)"""
_BOUND = "select coalesce(max(id), 0) as d from nodewise.sentinel"
_ROWS = """select count(*) || '' '' || coalesce(sum(hashtextextended(row(id, run, node, word, at)::text, 0)), 0) as d
from nodewise.sentinel where id <= {}"""
_FIRST = """select json_build_object('sentinel', {}, 'catalog', ({}), 'collations', {},
  'databases', (select json_agg(datname order by datname)
  from pg_database where datallowconn and has_database_privilege(oid, 'connect') and datname <> current_database()))"""

# Row by row, so that no table has to fit into memory; what is not logged is on the primary alone.
_TABLES = """select md5(string_agg(line, E'\\n' order by line collate "C")) from (
  select format('%s %s', c.oid, (xpath('/row/d/text()', query_to_xml(format(
    'select count(*) || '' '' || coalesce(sum(hashtextextended(t::text, 0)), 0) as d from %I.%I t', n.nspname, c.relname),
    true, true, '')))[1]::text) as line
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.oid >= 16384 and c.relkind in ('r', 'm') and c.relpersistence = 'p' and n.nspname !~ '^pg_(temp|toast)') rows"""
_AS_JSON = "select to_json(({}))"

# What sorts otherwise than when the indexes were made: the host's C library or ICU has another version than the catalog remembers,
# by collation, with the indexes that are in its order. The database's own is remembered from 15 on.
_OF_DATABASE = """union all select 100, 'the default of the database', datcollversion, pg_database_collation_actual_version(oid)
  from pg_database where datname = current_database()"""
_COLLATIONS = """(select coalesce(json_agg(json_build_object('collation', c.name, 'recorded', c.recorded, 'actual', c.actual,
  'indexes', (select coalesce(json_agg(indexrelid::regclass::text order by indexrelid), '[]') from pg_index
    where c.oid = any(indcollation))) order by c.name), '[]') from (
  select oid, collname::text, collversion, pg_collation_actual_version(oid) from pg_collation where collversion is not null {}
  ) c (oid, name, recorded, actual) where c.recorded is distinct from c.actual)"""
_BOTH = "select json_build_object('catalog', ({}), 'collations', {})"
FROM_15 = 15
_SHOWN = 10  # indexes of a collation


class Digests:
    """Makes the digests of one cluster's members; with `tables` of every row, which is the same only while nobody writes."""

    def __init__(self, access: Access, sessions: Sessions, tables: bool) -> None:
        self.access, self.sessions, self.tables = access, sessions, tables
        self._bound: int | None = None

    def bound(self, primary: Member) -> None:
        """Ask the primary up to which sentinel row members are to be compared; none where there is no such table."""
        try:
            self._bound = int(self.sessions.ask(primary, f"select to_json({_SENTINEL.format(_BOUND)})") or 0)
        except PostgresqlError:
            self._bound = None

    def of(self, member: Member, major: int) -> tuple[dict[str, Any], list[str]]:
        """Return a member's digests, by what they are of, and its collations of another version, a line each.

        `major` is its version. PostgresqlError where one cannot be made.
        """
        if self._bound is None:
            raise PostgresqlError("the primary did not tell its sentinel rows")
        sentinel = _SENTINEL.format(_ROWS.format(self._bound))
        collations = _COLLATIONS.format(_OF_DATABASE if major >= FROM_15 else "")
        found: dict[str, Any] = self.sessions.ask(member, _FIRST.format(sentinel, _CATALOG, collations), CATALOG_S)
        others = found["databases"] or []
        told = {self.access.database: found.pop("collations")}
        for name in others:
            both = self._ask(member, _BOTH.format(_CATALOG, collations), CATALOG_S, name)
            found[f"catalog of {name}"], told[name] = both["catalog"], both["collations"]
        for name in [self.access.database, *others] if self.tables else []:
            found[f"rows of {name}"] = self._ask(member, _AS_JSON.format(_TABLES), TABLES_S, name)
        return found, [_line(name, row) for name, rows in told.items() for row in rows]

    def _ask(self, member: Member, statement: str, seconds: float, database: str) -> Any:
        try:
            return self.access.sql(member, statement, seconds, database)
        except PostgresqlError as error:
            raise PostgresqlError(f"database {database}: {error}") from None


def _line(database: str, row: dict[str, Any]) -> str:
    shown, more = row["indexes"][:_SHOWN], len(row["indexes"]) - _SHOWN
    indexes = ", ".join(shown) + (f" and {more} more" if more > 0 else "")
    return f"{database}: {row['collation']} is {row['actual']}, and was {row['recorded']}; indexes: {indexes or 'none'}"
