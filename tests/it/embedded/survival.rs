//! What is found again after the process has ended, and who may open a folder.

use std::path::Path;

use habitue::edge::log::embedded::{EmbeddedConfig, EmbeddedLog, OpenError, TopicConfig};
use habitue::edge::log::{Appender, Ends, Group, Log, LogError, Place, Producer, Reader};
use habitue::signal::Topic;

use super::{Embedded, Folder, config};
use crate::log::{Bench, WAIT, alerts, append, open, outgoing, producer, read, sole_member, values, write};

fn ends(log: &EmbeddedLog, place: Place) -> Ends {
    log.reader().unwrap().ends(place).unwrap()
}

#[test]
fn committed_records_offsets_and_ends_are_found_again() {
    let folder = Folder::new();
    let bench = Embedded::new();
    let log = EmbeddedLog::open(config(folder.path(), 2)).unwrap();
    append(&bench, &log, alerts(1), &["plain"]);
    let journal = Place::new(Topic::Journal, 0);
    let mut writer = producer(&bench, &log, "writer");
    let member = sole_member(&bench, &log, "a", 2);
    open(&bench, &log, &mut writer, alerts(0), &["a", "b"]);
    let metadata = habitue::edge::log::GroupConsumer::metadata(&member.consumer).unwrap();
    writer.send_offsets(Group::Customer, &[(journal, 7), (alerts(1), 1)], &metadata).unwrap();
    writer.commit().unwrap();
    open(&bench, &log, &mut writer, alerts(0), &["aborted"]);
    writer.abort().unwrap();
    write(&bench, &log, &mut writer, alerts(0), &["c"]);
    open(&bench, &log, &mut writer, alerts(0), &["left open"]);
    let before = ends(&log, alerts(0));
    drop((writer, member, log));

    let log = EmbeddedLog::open(config(folder.path(), 2)).unwrap();
    assert_eq!(values(&read(&bench, &log, alerts(0), 0, 3)), ["a", "b", "c"]);
    assert_eq!(values(&read(&bench, &log, alerts(1), 0, 1)), ["plain"]);
    let found = ends(&log, alerts(0));
    // The record left open was nowhere but in memory: nobody has seen its offset.
    assert_eq!((found.low, found.stable, found.high), (0, before.stable, before.high - 1));
    let member = sole_member(&bench, &log, "a", 2);
    let committed = member.committed(&bench, &log, &[journal, alerts(1), alerts(0)]);
    assert_eq!(committed, [Some(7), Some(1), None]);
    let mut writer = producer(&bench, &log, "writer");
    write(&bench, &log, &mut writer, alerts(0), &["d"]);
    let offsets: Vec<u64> = read(&bench, &log, alerts(0), 0, 4).iter().map(|record| record.offset).collect();
    assert!(offsets.windows(2).all(|pair| pair[0] < pair[1]), "{offsets:?}");
}

#[test]
fn a_cursor_is_stored_with_what_was_appended() {
    let folder = Folder::new();
    let log = EmbeddedLog::open(config(folder.path(), 1)).unwrap();
    assert_eq!(log.cursor("orders.csv"), Ok(None));
    let mut appender = log.appender().unwrap();
    appender.append(&outgoing(alerts(0), "line 1")).unwrap();
    appender.append(&outgoing(alerts(0), "line 2")).unwrap();
    assert_eq!(appender.flush_with_cursor(WAIT, "orders.csv", 2), Ok(true));
    drop((appender, log));
    let log = EmbeddedLog::open(config(folder.path(), 1)).unwrap();
    assert_eq!((log.cursor("orders.csv"), log.cursor("orders")), (Ok(Some(2)), Ok(None)));
    assert_eq!(ends(&log, alerts(0)).high, 2);
}

/// The store itself takes the rest of a damaged write-ahead file for never written.
#[test]
fn a_damaged_file_is_refused_with_what_is_lost() {
    let folder = Folder::new();
    let bench = Embedded::new();
    let log = EmbeddedLog::open(config(folder.path(), 1)).unwrap();
    for number in 0..50 {
        append(&bench, &log, alerts(0), &[&format!("record {number}")]);
    }
    drop(log);
    drop(EmbeddedLog::open(config(folder.path(), 1)).expect("it is whole"));
    let files = std::fs::read_dir(folder.path().join("store")).unwrap().map(|entry| entry.unwrap().path());
    let journal =
        files.filter(|path| path.extension().is_some_and(|is| is == "jnl")).max().expect("a journal");
    let whole = std::fs::read(&journal).unwrap();
    let at = whole.windows(9).position(|window| window == b"record 25").expect("it is written as it is");
    // From inside the record to inside the one before it, so through the heads of both.
    let mut cut = 0;
    for place in (at - 150..at + 4).step_by(2) {
        let copy = Folder::new();
        copy_folder(folder.path(), copy.path());
        let mut bytes = whole.clone();
        bytes[place..place + 4].iter_mut().for_each(|byte| *byte ^= 0xff);
        std::fs::write(copy.path().join("store").join(journal.file_name().unwrap()), bytes).unwrap();
        let Err(error) = EmbeddedLog::open(config(copy.path(), 1)) else { panic!("half is lost: {place}") };
        if !error.to_string().contains("records at the end are lost: they were on disk") {
            continue;
        }
        if cut == 0 {
            std::fs::remove_file(copy.path().join("mark")).unwrap();
            let log = EmbeddedLog::open(config(copy.path(), 1)).expect("it goes on with what is left");
            assert!((24..=26).contains(&ends(&log, alerts(0)).high));
        }
        cut += 1;
    }
    assert!(cut > 0, "the store has found all of it itself");
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_folder(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}

#[test]
fn a_second_process_is_refused_with_the_owners_name() {
    let folder = Folder::new();
    let log = EmbeddedLog::open(config(folder.path(), 1)).unwrap();
    let Err(error) = EmbeddedLog::open(config(folder.path(), 1)) else { panic!("two owners") };
    let text = error.to_string();
    let process = format!("a test, process {}", std::process::id());
    assert!(matches!(error, OpenError::InUse { .. }) && text.contains(&process), "{text}");
    drop(log);
    EmbeddedLog::open(config(folder.path(), 1)).expect("it was given up");
}

#[test]
fn another_number_of_partitions_is_refused() {
    let folder = Folder::new();
    drop(EmbeddedLog::open(config(folder.path(), 2)).unwrap());
    let Err(error) = EmbeddedLog::open(config(folder.path(), 3)) else { panic!("customers would be split") };
    assert!(matches!(error, OpenError::Partitions { found: 2, wanted: 3, .. }), "{error}");
}

#[test]
fn old_segments_go_by_age_and_by_size_and_stay_gone() {
    let folder = Folder::new();
    let bench = Embedded::new();
    let by = |age: Option<i64>, size: Option<u64>| {
        let mut config = config(folder.path(), 1);
        let topic = TopicConfig { retention_ms: age, retention_bytes: size, ..TopicConfig::new(1) };
        config.topics.insert(Topic::Alerts, topic);
        config
    };
    let log = EmbeddedLog::open(by(Some(1_000_000), Some(16 << 20))).unwrap();
    fill(&log, 8, 40);
    let now_ms = crate::log::wall_ms();
    log.run_retention(now_ms).unwrap();
    let cut = ends(&log, alerts(0));
    assert!(cut.low > 0 && cut.low < cut.high, "{cut:?}");
    let kept: usize = count(&log, cut.low);
    // 256 are 16 MiB; a segment of 4 MiB is 64.
    assert!((256..320).contains(&kept), "{kept} records of 64 KiB");
    drop(log);

    let log = EmbeddedLog::open(by(Some(1_000_000), Some(16 << 20))).unwrap();
    assert_eq!(ends(&log, alerts(0)), cut);
    assert_eq!(count(&log, cut.low), kept);
    log.run_retention(now_ms + 1_000_001 + 60_000).unwrap();
    let all = ends(&log, alerts(0));
    assert_eq!((all.low, all.high), (cut.high, cut.high));
    append(&bench, &log, alerts(0), &["after"]);
    assert_eq!(values(&read(&bench, &log, alerts(0), all.low, 1)), ["after"]);
}

/// `batches` of `each` records of 64 KiB.
fn fill(log: &EmbeddedLog, each: usize, batches: usize) {
    let mut appender = log.appender().unwrap();
    for _ in 0..batches {
        for _ in 0..each {
            let record = outgoing(alerts(0), &"x".repeat(64 << 10));
            appender.append(&record).unwrap();
        }
        assert_eq!(appender.flush(WAIT), Ok(true));
    }
}

fn count(log: &EmbeddedLog, from: u64) -> usize {
    let (mut reader, mut count) = (log.reader().unwrap(), 0);
    reader.assign(&[(alerts(0), from)]).unwrap();
    while !reader.at_end(alerts(0)) {
        reader.poll(WAIT, &mut |_| count += 1).unwrap();
    }
    count
}

#[test]
fn compaction_keeps_the_newest_of_each_key() {
    let folder = Folder::new();
    let log = EmbeddedLog::open(config(folder.path(), 1)).unwrap();
    let place = Place::new(Topic::Models, 3);
    let mut appender = log.appender().unwrap();
    for number in 0..3_000_u32 {
        let mut record = outgoing(place, &format!("value {number}"));
        record.key = format!("key {}", number % 100).into_bytes();
        appender.append(&record).unwrap();
    }
    assert_eq!(appender.flush(WAIT), Ok(true));
    log.run_retention(crate::log::wall_ms() + 60_000).unwrap();
    let bench = Embedded::new();
    let left = read(&bench, &log, place, 0, 100);
    assert_eq!((left[0].offset, left[99].offset), (2_900, 2_999));
    assert_eq!(ends(&log, place).low, 0, "compaction leaves the ends");
}

#[test]
fn without_room_writers_wait_and_nothing_is_lost() {
    let folder = Folder::new();
    let full = EmbeddedConfig { free_bytes_min: u64::MAX / 2, ..config(folder.path(), 1) };
    let log = EmbeddedLog::open(full).unwrap();
    let mut appender = log.appender().unwrap();
    appender.append(&outgoing(alerts(0), "waits")).unwrap();
    assert_eq!(appender.flush(WAIT), Ok(false));
    let mut writer = log.producer("writer").unwrap();
    writer.init().unwrap();
    writer.begin().unwrap();
    writer.send(&outgoing(alerts(0), "waits too")).unwrap();
    assert_eq!(writer.drain(WAIT), Ok(false));
    assert_eq!(ends(&log, alerts(0)).high, 0);
    assert!(matches!(writer.abort(), Ok(()) | Err(LogError::Abort(_))));
}

/// Events of several topics come in the order in which they were sent, however large the backlog.
#[test]
fn places_are_read_in_the_order_of_writing() {
    let folder = Folder::new();
    let log = EmbeddedLog::open(config(folder.path(), 2)).unwrap();
    let places = [Topic::Purchases, Topic::Engagements, Topic::Feedback].map(|topic| Place::new(topic, 0));
    let mut appender = log.appender().unwrap();
    for number in 0..20_000_u32 {
        // Mostly the second; the third hardly ever.
        let place = places[if number % 5_000 == 4_999 { 2 } else { usize::from(number % 7 != 0) }];
        appender.append(&outgoing(place, &number.to_string())).unwrap();
        if number % 3_000 == 0 {
            assert_eq!(appender.flush(WAIT), Ok(true));
        }
    }
    assert_eq!(appender.flush(WAIT), Ok(true));
    drop((appender, log));
    let log = EmbeddedLog::open(config(folder.path(), 2)).unwrap();
    let mut appender = log.appender().unwrap();
    appender.append(&outgoing(places[0], "20000")).unwrap();
    assert_eq!(appender.flush(WAIT), Ok(true));
    let mut reader = log.reader().unwrap();
    reader.assign(&places.map(|place| (place, 0))).unwrap();
    let mut numbers: Vec<u32> = Vec::new();
    while !places.iter().all(|place| reader.at_end(*place)) {
        let each = &mut |record: habitue::edge::log::Record<'_>| {
            numbers.push(std::str::from_utf8(record.value.unwrap()).unwrap().parse().unwrap());
        };
        reader.poll(WAIT, each).unwrap();
    }
    assert_eq!(numbers, (0..=20_000).collect::<Vec<_>>());
}

/// Of two transactions in a place the later one may be written first. Offsets rule all the same.
#[test]
fn transactions_that_end_in_another_order_are_read_by_offset() {
    let bench = Embedded::new();
    let log = bench.fresh(2);
    let (mut one, mut two) = (producer(&bench, &log, "one"), producer(&bench, &log, "two"));
    let mut sent = 0;
    for round in 0..40 {
        open(&bench, &log, &mut one, alerts(0), &["one"; 30]);
        let other = alerts(round % 2);
        open(&bench, &log, &mut two, other, &["two"; 30]);
        append(&bench, &log, alerts(1), &["plain"; 20]);
        two.commit().unwrap();
        one.commit().unwrap();
        sent += 80;
    }
    let mut reader = log.reader().unwrap();
    reader.assign(&[(alerts(0), 0), (alerts(1), 0)]).unwrap();
    let mut offsets: [Vec<u64>; 2] = Default::default();
    while !(reader.at_end(alerts(0)) && reader.at_end(alerts(1))) {
        let each = &mut |record: habitue::edge::log::Record<'_>| {
            offsets[record.place.partition as usize].push(record.offset);
        };
        reader.poll(WAIT, each).unwrap();
    }
    assert_eq!(offsets[0].len() + offsets[1].len(), sent);
    assert!(offsets.iter().all(|of| of.windows(2).all(|pair| pair[0] < pair[1])), "each once, in order");
}
