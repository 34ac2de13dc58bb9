//! `keelrow journal verify`: is every record whole that must be?

use std::io::{self, Write};
use std::ops::Range;

use serde::Serialize;

use super::super::progress::Progress;
use super::super::{ConfigFile, Failure};
use super::{check_folder, look};
use crate::app::loaded_to;
use crate::journal::disk::files::ReadOnly;
use crate::journal::disk::inspect::{self, Report, SegmentReport};
use crate::journal::{Damaged, Position};
use crate::outcome::UNKNOWN_SOURCE;

/// Arguments of `keelrow journal verify`.
#[derive(Debug, clap::Args)]
pub(in super::super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// The answer for programs.
#[derive(Serialize)]
struct Answer<'a> {
    journal: String,
    writer: Option<&'a str>,
    writer_lost: bool,
    first: u64,
    end: u64,
    /// Records behind it may never have been acknowledged.
    durable: u64,
    records: u64,
    events: u64,
    damaged_records: u64,
    /// Of these, the ones that were loaded before, as far as the loader noted that.
    damaged_loaded_records: u64,
    damaged_events: u64,
    kept_aside: KeptAside,
    segments: Vec<Segment>,
}

#[derive(Serialize)]
struct KeptAside {
    files: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct Segment {
    file: String,
    bytes: u64,
    from: u64,
    to: u64,
    records: u64,
    events: u64,
    damaged: Vec<Loss>,
}

#[derive(Serialize)]
struct Loss {
    from: u64,
    to: u64,
    source: String,
    events: u64,
    at_byte: u64,
    to_byte: u64,
}

pub(in super::super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = arguments.file.load()?;
    let folder = &config.journal.path;
    check_folder(folder)?;
    let report = look(|| {
        let progress = Progress::new(arguments.json);
        inspect::verify_telling(&ReadOnly, folder, &mut |done, all| {
            progress.show(done, all, format_args!("{} of {} MiB", done >> 20, all >> 20));
        })
    })?;
    let answer = answer(folder.display().to_string(), &report, loaded_to(folder));
    let mut out = io::stdout().lock();
    if arguments.json {
        serde_json::to_writer(&mut out, &answer).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        print(&answer, &mut out)?;
    }
    if answer.damaged_records > 0 {
        let text = format!("{} records are damaged", answer.damaged_records);
        return Err(Failure { code: 1, text });
    }
    if answer.writer_lost {
        let text = "the file that names the writer is damaged or missing".into();
        return Err(Failure { code: 1, text });
    }
    Ok(())
}

fn answer(journal: String, report: &Report, loaded: Position) -> Answer<'_> {
    let segments: Vec<Segment> = report.segments.iter().map(segment).collect();
    let losses = || segments.iter().flat_map(|segment| &segment.damaged);
    Answer {
        journal,
        writer: report.writer_id.as_deref(),
        writer_lost: report.is_writer_lost,
        first: report.first.get(),
        end: report.end.get(),
        durable: report.proven.get(),
        records: report.records(),
        events: segments.iter().map(|segment| segment.events).sum(),
        damaged_records: losses().map(|loss| loss.to - loss.from).sum(),
        damaged_loaded_records: losses()
            .map(|loss| loss.to.min(loaded.get()).saturating_sub(loss.from))
            .sum(),
        damaged_events: losses().map(|loss| loss.events).sum(),
        kept_aside: KeptAside { files: report.kept_aside.0, bytes: report.kept_aside.1 },
        segments,
    }
}

fn segment(report: &SegmentReport) -> Segment {
    let name = report.path.file_name().unwrap_or_default();
    Segment {
        file: name.to_string_lossy().into_owned(),
        bytes: report.bytes,
        from: report.positions.start.get(),
        to: report.positions.end.get(),
        records: report.records,
        events: report.events,
        damaged: report.damaged.iter().map(|(damaged, bytes)| loss(damaged, bytes)).collect(),
    }
}

fn loss(damaged: &Damaged, bytes: &Range<u64>) -> Loss {
    let Range { start, end } = damaged.positions;
    Loss {
        from: start.get(),
        to: end.get(),
        source: damaged.source.clone().unwrap_or_else(|| UNKNOWN_SOURCE.into()),
        events: damaged.count,
        at_byte: bytes.start,
        to_byte: bytes.end,
    }
}

fn print(answer: &Answer<'_>, out: &mut impl Write) -> io::Result<()> {
    let writer = answer.writer.unwrap_or("without a name");
    writeln!(out, "journal {} of writer {writer}", answer.journal)?;
    for segment in &answer.segments {
        let Segment { file, bytes, from, to, records, events, damaged } = segment;
        let lost: u64 = damaged.iter().map(|loss| loss.to - loss.from).sum();
        let state = if lost == 0 { "whole".to_owned() } else { format!("{lost} damaged") };
        writeln!(
            out,
            "{file}: records {from} to {to}, {records} read, {events} events, {bytes} bytes, {state}"
        )?;
        for Loss { from, to, source, events, at_byte, to_byte } in damaged {
            writeln!(
                out,
                "  records {from} to {to} of source {source}, {events} events, \
                 bytes {at_byte} to {to_byte}"
            )?;
        }
    }
    let Answer { records, events, damaged_records, damaged_events, kept_aside, .. } = answer;
    let loaded = answer.damaged_loaded_records;
    writeln!(out, "{records} records of {events} events are whole")?;
    writeln!(out, "{damaged_records} records of {damaged_events} events are damaged")?;
    if loaded > 0 {
        writeln!(out, "{loaded} of the damaged ones were loaded before: of these nothing is lost")?;
    }
    let unproven = Position::new(answer.end).since(Position::new(answer.durable));
    if unproven > 0 {
        writeln!(out, "{unproven} of the whole ones, at the end, may not have been acknowledged")?;
    }
    if kept_aside.files > 0 {
        let KeptAside { files, bytes } = kept_aside;
        writeln!(out, "damaged/ keeps {files} files of {bytes} bytes from earlier damage")?;
    }
    Ok(())
}
