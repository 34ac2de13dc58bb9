//! What one batch leaves to the next, through the sink.

use super::sink::{Bench, Cells, Lake, route, schema_home, text, unified_home};
use super::*;

/// A lake that takes no further tables for events, or does.
struct Full(Lake, bool);

impl Open for Full {
    fn open(
        &mut self,
        home: &Home,
    ) -> Result<(Plan, Box<dyn Files>), Box<dyn std::error::Error + Send + Sync>> {
        self.0.open(home)
    }

    fn admits(&mut self, _: &Home) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
        Ok(!self.1)
    }
}

/// A batch in `room`, with files of its own; leaves what the next one is in.
fn batch(room: Room, is_full: bool, fill: impl FnOnce(&mut Bench)) -> (Lake, Room) {
    let mut bench = Bench::new(Vec::new());
    let (open, unified) = (Full(bench.lake.clone(), is_full), Arc::clone(&bench.tables.unified));
    bench.tables = Tables::new(settings(), unified, Box::new(open)).in_room(room);
    fill(&mut bench);
    let (_, room) = bench.tables.finish_and_clear().unwrap();
    (bench.lake, room)
}

/// Gives an event "done" so many times.
fn give(bench: &mut Bench, times: usize) {
    let route = route("prod", "webapp", "web");
    let done: Cells<'_> = &[("id", text("m1"), "m1"), ("event", text("done"), "done")];
    for _ in 0..times {
        bench.event(&route, "track", &[("done", TableKind::Event, done)]).unwrap();
    }
}

#[test]
fn a_name_that_had_no_table_may_have_one_in_the_next_batch() {
    let mut room = Room::default();
    for (is_full, table) in [(true, "other_events"), (false, "done")] {
        let (lake, left) = batch(room, is_full, |bench| give(bench, 2));
        room = left;
        assert_eq!(lake.rows(&schema_home("webapp_prod", table)).len(), 2);
    }
}

#[test]
fn what_has_no_table_of_its_own_opens_the_unified_one_in_each_batch() {
    let mut room = Room::default();
    for _ in 0..2 {
        let (lake, left) = batch(room, true, |bench| {
            // So that it is asked once where the row goes.
            bench.tables.shapes.know_none();
            give(bench, 1);
        });
        room = left;
        assert_eq!(lake.rows(&schema_home("webapp_prod", "other_events")).len(), 1);
        assert_eq!(lake.rows(&unified_home("prod", "user_events")).len(), 1);
    }
}

#[test]
fn new_ids_in_a_room_that_forgot_the_old_ones_find_the_same_columns() {
    let route = route("prod", "webapp", "web");
    let (_, mut room) = batch(Room::default(), false, |bench| {
        let done: Cells<'_> = &[("id", text("m1"), "m1"), ("price", Scalar::Int(1), "1")];
        bench.event(&route, "track", &[("done", TableKind::Event, done)]).unwrap();
    });
    room.forget();
    let (lake, _) = batch(room, false, |bench| {
        let other: Cells<'_> = &[("price", Scalar::Int(2), "2"), ("id", text("m2"), "m2")];
        for _ in 0..3 {
            bench.event(&route, "track", &[("done", TableKind::Event, other)]).unwrap();
        }
    });
    for home in [schema_home("webapp_prod", "done"), unified_home("prod", "user_events")] {
        for row in lake.rows(&home) {
            assert_eq!(row["id"], Value::Text("m2".into()));
            assert_eq!(row["price"], Value::Int(2));
        }
    }
}

#[test]
fn no_text_of_an_event_is_shown_with_what_is_left_of_it() {
    let mut room = Room::default();
    for _ in 0..2 {
        let (_, left) = batch(room, false, |bench| {
            let route = route("prod", "webapp", "web");
            let event = text("kim_at_example");
            let cells: Cells<'_> = &[("id", text("m1"), "m1"), ("event", event, "kim_at_example")];
            for _ in 0..3 {
                let row = ("kim_at_example", TableKind::Event, cells);
                bench.event(&route, "track", &[row]).unwrap();
            }
            let shown = format!("{:?} {:?}", bench.tables, bench.tables.shared);
            assert!(!shown.contains("kim"), "{shown}");
        });
        let shown = format!("{left:?}");
        assert!(shown.contains("tables: ") && !shown.contains("kim"), "{shown}");
        room = left;
    }
}
