-- The lake where it lies, without loading it. Where it is:
create or replace macro keelrow_lake() as 'keelrow-data/lake';

-- The events of an environment: from keelrow_events('prod') select event, count(*) group by all;
create or replace macro keelrow_events(environment) as table
  select * from read_parquet(keelrow_lake() || '/unified/' || environment || '/user_events/v1/**/*.parquet', union_by_name = true);

-- Any unified table: keelrow_unified('prod', 'phones', 1).
create or replace macro keelrow_unified(environment, its_name, generation) as table
  select * from read_parquet(keelrow_lake() || '/unified/' || environment || '/' || its_name || '/v' || generation || '/**/*.parquet', union_by_name = true);

-- A table of a source's schema: keelrow_table('web_prod', 'tracks').
create or replace macro keelrow_table(its_schema, its_name) as table
  select * from read_parquet(keelrow_lake() || '/rudder-datalake/' || its_schema || '/' || its_name || '/**/*.parquet', union_by_name = true);

-- The users of a schema, with the last value of each column: keelrow_users('web_prod').
create or replace macro keelrow_users(its_schema) as table
  select id, arg_max(columns(* exclude (id)), received_at)
  from read_parquet(keelrow_lake() || '/rudder-datalake/' || its_schema || '/users/**/*.parquet', union_by_name = true)
  group by id;
