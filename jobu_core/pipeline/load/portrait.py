"""Everything that is said about a table, by name: to be equal before and after a swap.

A portrait is a set of (kind, name, text). The swap carries what it knows; that it
forgot nothing is checked by comparing portraits, not by trusting the swap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, LiteralString

if TYPE_CHECKING:
    import psycopg

    Portrait = frozenset[tuple[str, str, str]]

_TABLE: Final[LiteralString] = """
SELECT 'table', what, said
FROM pg_class AS c
CROSS JOIN LATERAL (VALUES
    ('persistence', c.relpersistence::text),
    ('owner', pg_get_userbyid(c.relowner)::text),
    ('options', c.reloptions::text),
    ('tablespace', nullif(c.reltablespace, 0)::text),
    ('access method', (SELECT amname::text FROM pg_am WHERE oid = c.relam)),
    ('row security', nullif(c.relrowsecurity OR c.relforcerowsecurity, false)::text),
    ('replica identity', nullif(c.relreplident::text, 'd')),
    ('comment', obj_description(c.oid, 'pg_class'))
) AS facts (what, said)
WHERE c.oid = %(table)s AND said IS NOT NULL
"""

_COLUMNS: Final[LiteralString] = """
SELECT 'column', a.attname::text, concat_ws(' | ',
    row_number() OVER (ORDER BY a.attnum), format_type(a.atttypid, a.atttypmod),
    nullif(a.attcollation, 0)::regcollation, a.attnotnull, pg_get_expr(d.adbin, d.adrelid),
    'identity ' || nullif(a.attidentity::text, ''),
    'generated ' || nullif(a.attgenerated::text, ''),
    a.attstorage, a.attcompression, 'statistics ' || nullif(a.attstattarget, -1),
    a.attoptions::text, 'comment ' || col_description(a.attrelid, a.attnum))
FROM pg_attribute AS a
LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = %(table)s AND a.attnum > 0 AND NOT a.attisdropped
"""

_CONSTRAINTS: Final[LiteralString] = """
SELECT 'constraint', conname::text, concat_ws(' | ', pg_get_constraintdef(oid), convalidated,
    'comment ' || obj_description(oid, 'pg_constraint'))
FROM pg_constraint WHERE conrelid = %(table)s AND contype <> 't'
"""

_INDEXES: Final[LiteralString] = """
SELECT 'index', c.relname::text, concat_ws(' | ', pg_get_indexdef(c.oid), i.indisprimary,
    i.indisvalid, 'clustered ' || nullif(i.indisclustered, false),
    'replica ' || nullif(i.indisreplident, false), nullif(c.reltablespace, 0),
    c.reloptions::text, 'comment ' || obj_description(c.oid, 'pg_class'))
FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
WHERE i.indrelid = %(table)s
"""

_TRIGGERS: Final[LiteralString] = """
SELECT 'trigger', tgname::text, concat_ws(' | ', pg_get_triggerdef(oid), tgenabled,
    'comment ' || obj_description(oid, 'pg_trigger'))
FROM pg_trigger WHERE tgrelid = %(table)s AND NOT tgisinternal
"""

_SEQUENCES: Final[LiteralString] = """
SELECT 'sequence', format('%%I.%%I', n.nspname, s.relname), concat_ws(' | ', a.attname, d.deptype,
    format_type(q.seqtypid, NULL), q.seqstart, q.seqincrement, q.seqmin, q.seqmax, q.seqcache,
    q.seqcycle, s.relacl::text, 'comment ' || obj_description(s.oid, 'pg_class'))
FROM pg_depend AS d
JOIN pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
JOIN pg_namespace AS n ON n.oid = s.relnamespace
JOIN pg_sequence AS q ON q.seqrelid = s.oid
JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
  AND d.refobjid = %(table)s AND d.deptype IN ('a', 'i')
"""

_GRANTS: Final[LiteralString] = """
SELECT 'grant', coalesce('column ' || g.on_column, 'table'), concat_ws(' | ',
    CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE 'role ' || pg_get_userbyid(g.grantee) END,
    g.privilege_type, g.is_grantable, pg_get_userbyid(g.grantor))
FROM (
    SELECT NULL AS on_column, e.*
    FROM pg_class AS c
    CROSS JOIN LATERAL aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) AS e
    WHERE c.oid = %(table)s
    UNION ALL
    SELECT a.attname, e.*
    FROM pg_attribute AS a CROSS JOIN LATERAL aclexplode(a.attacl) AS e
    WHERE a.attrelid = %(table)s AND NOT a.attisdropped
) AS g
"""

_REST: Final[LiteralString] = """
SELECT 'rule', rulename::text, pg_get_ruledef(oid) FROM pg_rewrite WHERE ev_class = %(table)s
UNION ALL
SELECT 'policy', polname::text, pg_get_expr(polqual, polrelid) FROM pg_policy
WHERE polrelid = %(table)s
UNION ALL
SELECT 'statistics', stxname::text, pg_get_statisticsobjdef(oid) FROM pg_statistic_ext
WHERE stxrelid = %(table)s
UNION ALL
SELECT 'security label', provider, label FROM pg_seclabel
WHERE classoid = 'pg_class'::regclass AND objoid = %(table)s
"""

_QUERIES: Final[tuple[LiteralString, ...]] = (
    *(_TABLE, _COLUMNS, _CONSTRAINTS, _INDEXES, _TRIGGERS, _SEQUENCES, _GRANTS, _REST),
)

_DEPENDENTS: Final[LiteralString] = """
WITH own AS (
    SELECT 'pg_attrdef'::regclass::oid AS class, oid FROM pg_attrdef WHERE adrelid = %(table)s
    UNION ALL
    SELECT 'pg_constraint'::regclass, oid FROM pg_constraint
    WHERE conrelid = %(table)s AND contype <> 'f'
    UNION ALL
    SELECT 'pg_trigger'::regclass, oid FROM pg_trigger WHERE tgrelid = %(table)s
    UNION ALL
    SELECT 'pg_class'::regclass, indexrelid FROM pg_index WHERE indrelid = %(table)s
    UNION ALL
    SELECT 'pg_class'::regclass, reltoastrelid FROM pg_class WHERE oid = %(table)s
    UNION ALL
    SELECT 'pg_class'::regclass, d.objid
    FROM pg_depend AS d JOIN pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
    WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
      AND d.refobjid = %(table)s AND d.deptype IN ('a', 'i')
    UNION ALL
    SELECT 'pg_type'::regclass, t.oid
    FROM pg_type AS t JOIN pg_type AS row_type ON t.oid IN (row_type.oid, row_type.typarray)
    WHERE row_type.typrelid = %(table)s
)
SELECT DISTINCT pg_describe_object(d.classid, d.objid, d.objsubid)
FROM pg_depend AS d
WHERE ((d.refclassid = 'pg_class'::regclass AND d.refobjid = %(table)s)
       OR (d.refclassid, d.refobjid) IN (
           SELECT class, oid FROM own
           WHERE class IN ('pg_type'::regclass, 'pg_constraint'::regclass)
       )
       OR (d.refclassid = 'pg_class'::regclass AND d.refobjid IN (
           SELECT indexrelid FROM pg_index WHERE indrelid = %(table)s)))
  AND (d.classid, d.objid) NOT IN (SELECT class, oid FROM own)
UNION ALL
SELECT 'its place in an inheritance tree' FROM pg_inherits
WHERE %(table)s IN (inhrelid, inhparent)
UNION ALL
SELECT 'extension ' || e.extname FROM pg_depend AS d JOIN pg_extension AS e ON e.oid = d.refobjid
WHERE d.classid = 'pg_class'::regclass AND d.objid = %(table)s AND d.deptype = 'e'
UNION ALL
SELECT 'type ' || reloftype::regtype FROM pg_class WHERE oid = %(table)s AND reloftype <> 0
UNION ALL
SELECT 'publication ' || pubname FROM pg_publication WHERE puballtables
UNION ALL
SELECT 'publication ' || p.pubname
FROM pg_publication AS p
CROSS JOIN LATERAL pg_get_publication_tables(p.pubname) AS t
WHERE t.relid = %(table)s
ORDER BY 1
"""


def paint(connection: psycopg.Connection, table: int) -> Portrait:
    """Return the portrait of the table with that oid."""
    return frozenset(
        (str(kind), str(name), str(said))
        for query in _QUERIES
        for kind, name, said in connection.execute(query, {"table": table}).fetchall()
    )


def dependents(connection: psycopg.Connection, table: int) -> tuple[str, ...]:
    """Return what points at this very table and would lose it in a swap."""
    rows = connection.execute(_DEPENDENTS, {"table": table}).fetchall()
    return tuple(dict.fromkeys(str(found) for (found,) in rows))
