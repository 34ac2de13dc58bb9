//! What a JavaScript transformation costs an event of 1.2 KB, on one core.
//!
//! `cargo bench --bench script`. The parts: an empty transformation is the engine's reading and
//! writing of the event, a number beyond a double adds the restoring of spellings.

use std::path::Path;

use divan::{Bencher, counter::ItemsCount};
use keelrow::script::{Input, Limits, Metadata, Runtime, Script};

fn main() {
    divan::main();
}

/// 1.2 KB, 53 keys, as the web SDK sends it.
const EVENT: &str = concat!(
    r#"{"channel":"web","context":{"app":{"build":"1.0.0","name":"RudderLabs JavaScript SDK","#,
    r#""namespace":"com.rudderlabs.javascript","version":"2.48.5"},"traits":{"email":"ann@example.net","#,
    r#""plan":"pro"},"library":{"name":"RudderLabs JavaScript SDK","version":"2.48.5"},"userAgent":"#,
    r#""Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/122.0.0.0 Safari/537.36","#,
    r#""device":null,"network":null,"os":{"name":"","version":""},"locale":"pt-BR","screen":{"density":2,"#,
    r#""width":2560,"height":1440,"innerWidth":1200,"innerHeight":820},"sessionId":1780331058149,"campaign":{},"#,
    r#""page":{"path":"/a/town-square","referrer":"https://example.org/","search":"","title":"Town Square","#,
    r#""url":"https://chat.example.org/a/town-square","tab_url":"","referring_domain":"","#,
    r#""initial_referrer":"$direct","initial_referring_domain":""},"timezone":"GMT-0700","ip":"0.0.0.0"},"#,
    r#""type":"track","messageId":"a7ff33f1-6415-4563-bf2d-63f243ad34eb","originalTimestamp":"#,
    r#""2026-06-15T00:22:43.547Z","sentAt":"2026-06-15T00:22:44.226Z","anonymousId":"#,
    r#""8f1b7e5e-52c0-4b0e-9a0c-52a1f7c0a1b2","userId":"z9r3boiddf6sz93ipepij1yf5q","integrations":{"All":true},"#,
    r#""event":"ui_direct_channel_x_button_clicked","properties":{"category":"ui","type":"button_clicked","#,
    r#""email":"bob@example.net","note":"ask ann@example.net","user_actual_role":"system_user","#,
    r#""user_actual_id":"fqhstfgoszw44njxspbm9yaoos"}}"#
);

fn sample(name: &str) -> Script {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("transforms/samples");
    let read = |name: &str| std::fs::read_to_string(folder.join(format!("{name}.js"))).ok();
    let source = read(name).unwrap_or_default();
    Script::load(&format!("{name}.js"), &source, &read).expect("the sample is right")
}

fn inline(source: &str) -> Script {
    Script::load("inline.js", source, &|_| None).expect("the source is right")
}

fn run(bencher: Bencher<'_, '_>, script: &Script, event: &str, events: usize) {
    let mut runtime = Runtime::new(Limits::default());
    let metadata = Metadata { source_name: Some("webapp"), ..Metadata::default() };
    let inputs = vec![Input { event, metadata }; events];
    bencher.counter(ItemsCount::new(events)).bench_local(|| {
        runtime.run(script, &inputs, &|| false).inspect(|outcomes| {
            assert!(outcomes.iter().all(Result::is_ok));
        })
    });
}

#[divan::bench]
fn empty(bencher: Bencher<'_, '_>) {
    run(bencher, &inline("export const transformEvent = (event) => event"), EVENT, 50);
}

#[divan::bench]
fn mask(bencher: Bencher<'_, '_>) {
    run(bencher, &sample("mask"), EVENT, 50);
}

#[divan::bench]
fn mask_one_at_a_time(bencher: Bencher<'_, '_>) {
    run(bencher, &sample("mask"), EVENT, 1);
}

#[divan::bench]
fn mask_async(bencher: Bencher<'_, '_>) {
    let source = "export async function transformEvent(event) { await null; return event }";
    run(bencher, &inline(source), EVENT, 50);
}

#[divan::bench]
fn drop_by_name(bencher: Bencher<'_, '_>) {
    run(bencher, &sample("drop"), EVENT, 50);
}

#[divan::bench]
fn enrich_batch(bencher: Bencher<'_, '_>) {
    run(bencher, &sample("enrich"), EVENT, 50);
}

#[divan::bench]
fn number_beyond_a_double(bencher: Bencher<'_, '_>) {
    let event = EVENT.replace("1780331058149", "9223372036854775807");
    run(bencher, &inline("export const transformEvent = (event) => event"), &event, 50);
}

/// From source to the first event: what a reload or a fault costs a worker.
#[divan::bench]
fn start(bencher: Bencher<'_, '_>) {
    let script = sample("mask");
    bencher.bench_local(|| {
        let metadata = Metadata::default();
        Runtime::new(Limits::default()).run(&script, &[Input { event: EVENT, metadata }], &|| false)
    });
}
