//! Words that a dialect does not take as the name of a table or column.
//!
//! Such a name gets an underscore in front, as RudderStack gives it one: the lists are those its
//! transformer was seen to escape (docs/warehouse-layout.md), not the databases' own manuals, since
//! a migrated warehouse must find its columns again. Lower case, sorted.

use super::Dialect;

/// The words that `dialect` escapes, separated by spaces.
#[must_use]
pub const fn words(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => POSTGRES,
        Dialect::Snowflake => SNOWFLAKE,
        Dialect::Bigquery => BIGQUERY,
        Dialect::Redshift => REDSHIFT,
        Dialect::Databricks => DATABRICKS,
        Dialect::Datalake => DATALAKE,
        Dialect::Clickhouse => "",
    }
}

const POSTGRES: &str = "\
    all analyse analyze and any array as asc asymmetric authorization between binary both case \
    cast check collate column constraint create cross current_date current_role current_time \
    current_timestamp current_user default deferrable desc distinct do else end except false for \
    foreign freeze from full grant group having ilike in initially inner intersect into is \
    isnull join leading left like limit localtime localtimestamp natural new not notnull null \
    off offset old on only or order outer overlaps placing primary references right select \
    session_user similar some symmetric table then to trailing true union unique user using \
    verbose when where";

const SNOWFLAKE: &str = "\
    account all alter and any as between by case cast check column connect connection constraint \
    create cross current current_date current_time current_timestamp current_user database \
    delete distinct drop else exists false following for from full grant group gscluster having \
    ilike in increment inner insert intersect into is issue join lateral left like localtime \
    localtimestamp minus natural not null of on or order organization qualify regexp revoke \
    right rlike row rows sample schema select set some start table tablesample then to trigger \
    true try_cast union unique update using values view when whenever where with";

const BIGQUERY: &str = "\
    all and any array as asc assert_rows_modified at between by case cast collate contains \
    create cross cube current default define desc distinct else end enum escape except exclude \
    exists extract false fetch following for from full group grouping groups hash having if \
    ignore in inner intersect interval into is join lateral left like limit lookup merge natural \
    new no not null nulls of on or order outer over partition preceding proto range recursive \
    respect right rollup rows select set some struct tablesample then to treat true unbounded \
    union unnest using when where window with within";

const REDSHIFT: &str = "\
    aes128 aes256 all allowoverwrite analyse analyze and any array as asc authorization az64 \
    backup between binary blanksasnull both bytedict bzip2 case cast check collate column \
    constraint create credentials cross current_date current_time current_timestamp current_user \
    current_user_id default deferrable deflate defrag delta delta32k desc disable distinct do else \
    emptyasnull enable encode encryption end except explicit false for foreign freeze from full \
    globaldict256 globaldict64k grant group gzip having identity ignore ilike in initially inner \
    intersect into is isnull join language leading left like limit localtime localtimestamp lun \
    luns lzo lzop minus mostly13 mostly32 mostly8 natural new not notnull null nulls off offline \
    offset oid old on only open or order outer overlaps parallel partition percent permissions \
    placing primary raw readratio recover references rejectlog resort respect restore right select \
    session_user similar some sysdate system table tag tdes text255 text32k then to top trailing \
    true truncatecolumns union unique user using uuid verbose wallet when where with without";

const DATABRICKS: &str = "\
    all alter and anti any array as at authorization between both by case cast check collate \
    column commit constraint create cross cube current current_date current_time \
    current_timestamp current_user delete describe distinct drop else end escape event_date \
    except exists external extract false fetch filter for foreign from full function global \
    grant group grouping having in inner insert intersect interval into is join lateral leading \
    left like local minus natural no not null of on only or order out outer overlaps partition \
    position primary range references revoke right rollback rollup row rows select semi \
    session_user set some start table tablesample then time to trailing true truncate union \
    unique unknown update user using values when where window with";

const DATALAKE: &str = "\
    all alter and array as authorization between bigint binary boolean both by case cashe cast \
    char column commit conf constraint create cross cube current current_date current_timestamp \
    cursor database date dayofweek decimal delete describe distinct double drop else end \
    exchange exists extended external extract false fetch float floor following for foreign from \
    full function grant group grouping having if import in inner insert int integer intersect \
    interval into is join lateral left less like local macro map more none not null numeric of \
    on only or order out outer over partialscan partition percent preceding precision preserve \
    primary procedure range reads reduce references regexp revoke right rlike rollback rollup \
    row rows select set smallint start table tablesample then time timestamp to transform \
    trigger true truncate unbounded union uniquejoin update user using utc_timestamp values \
    varchar views when where window with";
