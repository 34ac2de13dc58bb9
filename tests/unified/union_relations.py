"""dbt_utils.union_relations as its documentation tells it, written anew for DuckDB: the package is
no pip package, and dbt fetches it from a hub that a test must not need.

The documented behaviour: the result has the superset of the columns in the order in which they are
first met; a column has the type of the first relation that has it, but a longer text wins; a
relation without a column gives null; every value is cast to the column's type; the relation's name
is in `_dbt_source_relation`, as the adapter prints it; columns of `exclude` are left out; rows are put together with union all.
"""


def union_relations(db, relations, exclude=(), source_column="_dbt_source_relation"):
    """The query over `relations`, a list of (schema, table) of the open database."""
    superset = {}
    have = {}
    for schema, table in relations:
        found = db.execute(
            "select column_name, data_type from information_schema.columns"
            " where table_schema = ? and table_name = ? order by ordinal_position",
            [schema, table],
        ).fetchall()
        found = [(name, data_type) for name, data_type in found if name not in exclude]
        have[(schema, table)] = {name for name, _ in found}
        for name, data_type in found:
            # Texts have no length in DuckDB, so the longest is any of them.
            superset.setdefault(name, data_type)
    selects = []
    for schema, table in relations:
        casts = [f"""cast('"{schema}"."{table}"' as varchar) as "{source_column}\""""]
        for name, data_type in superset.items():
            value = f'"{name}"' if name in have[(schema, table)] else "null"
            casts.append(f'cast({value} as {data_type}) as "{name}"')
        selects.append(f'select {", ".join(casts)} from "{schema}"."{table}"')
    return "\nunion all\n".join(selects)
