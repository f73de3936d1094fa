//! `tap --pass-through` with more than one input.

use std::fs;

use crate::support::World;

#[test]
fn all_inputs_are_passed_on_and_looked_at() {
    let world = World::new()
        .write("home/project/a.log", "one\n")
        .write("home/project/b.log", "API Error: 529 Overloaded\n")
        .write("home/project/c.log", "no line end");
    let run = world.run(&["tap", "--pass-through", "--events", "events", "a.log", "b.log", "c.log"]);
    assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""));
    assert_eq!(run.stdout, "one\nAPI Error: 529 Overloaded\nno line end");
    let events = fs::read_to_string(world.path("home/project/events")).unwrap();
    assert_eq!(events.matches(r#""type":"summary""#).count(), 4, "one a source, one of all: {events}");
    assert_eq!(events.matches(r#""type":"finding""#).count(), 1, "{events}");
}
