//! Random interleavings of writers and readers, against a model that keeps a plain list.

use habitue::edge::log::sim::{SimConfig, SimLog, SimProducer, SimReader};
use habitue::edge::log::{Appender, Ends, Log, LogError, Place, Producer, Reader};

use crate::log::{WAIT, alerts, outgoing};
use crate::seeds::{self, Rng};

const IDS: usize = 3;
const PLACES: usize = 2;
const STEPS: usize = 150;

#[test]
fn log_agrees_with_a_list() {
    seeds::each("interleavings::log_agrees_with_a_list", 1000, |seed| {
        let mut run = Run::new(seed);
        for _ in 0..STEPS {
            run.step();
            run.check();
        }
        run.finish();
    });
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Of the id's open transaction.
    Open(usize),
    Committed,
    Invisible,
}

/// What the log should hold: every offset with its fate.
#[derive(Default)]
struct Model {
    places: [Vec<(String, Fate)>; PLACES],
    low: [usize; PLACES],
    /// Since when each id has an open transaction in the log.
    open_since_ms: [Option<i64>; IDS],
}

impl Model {
    fn stable(&self, place: usize) -> usize {
        let records = &self.places[place];
        records.iter().position(|(_, fate)| matches!(fate, Fate::Open(_))).unwrap_or(records.len())
    }

    fn visible(&self, place: usize) -> Vec<(u64, String)> {
        let stable = self.places[place][..self.stable(place)].iter().enumerate();
        stable
            .filter(|(_, (_, fate))| *fate == Fate::Committed)
            .map(|(offset, (value, _))| (offset as u64, value.clone()))
            .collect()
    }

    fn end(&mut self, id: usize, fate: Fate) {
        for records in &mut self.places {
            let mut touched = false;
            for (_, its) in records.iter_mut().filter(|(_, its)| *its == Fate::Open(id)) {
                (*its, touched) = (fate, true);
            }
            if touched {
                records.push(("mark".to_owned(), Fate::Invisible));
            }
        }
        self.open_since_ms[id] = None;
    }
}

/// Place, offset and value of each record, in the order read.
type Read = Vec<(Place, u64, String)>;

struct Writer {
    producer: SimProducer,
    id: usize,
    /// False: a newer one, or a timeout, has fenced it.
    current: bool,
    begun: bool,
    dead: bool,
}

struct Run {
    log: SimLog,
    rng: Rng,
    model: Model,
    writers: Vec<Writer>,
    readers: Vec<(SimReader, Read)>,
    written: usize,
}

impl Run {
    fn new(seed: u64) -> Run {
        let log = SimLog::new(SimConfig {
            poll_records_max: 1 + seed as usize % 5,
            keep_deleted: true,
            ..SimConfig::new(seed, PLACES as u32)
        });
        let reader = |_| {
            let mut reader = log.reader().unwrap();
            reader.assign(&[(alerts(0), 0), (alerts(1), 0)]).unwrap();
            (reader, Vec::new())
        };
        let readers = (0..2).map(reader).collect();
        let mut run = Run {
            log,
            rng: Rng::new(seed),
            model: Model::default(),
            writers: Vec::new(),
            readers,
            written: 0,
        };
        (0..IDS).for_each(|id| run.init(id));
        run
    }

    fn init(&mut self, id: usize) {
        let mut producer = self.log.producer(&format!("id {id}")).unwrap();
        producer.init().unwrap();
        self.fence(id);
        self.writers.push(Writer { producer, id, current: true, begun: false, dead: false });
    }

    fn fence(&mut self, id: usize) {
        self.model.end(id, Fate::Invisible);
        self.writers.iter_mut().filter(|writer| writer.id == id).for_each(|writer| writer.current = false);
    }

    fn value(&mut self) -> String {
        self.written += 1;
        format!("value {}", self.written)
    }

    fn step(&mut self) {
        let place = self.rng.below(PLACES);
        match self.rng.below(20) {
            0 => {
                let id = self.rng.below(IDS);
                self.init(id);
            }
            1 => {
                let time_ms = 1 + self.rng.below(900) as i64;
                self.pass(time_ms);
            }
            2 => {
                let id = self.rng.below(IDS);
                let open = self.model.open_since_ms[id].is_some();
                assert_eq!(self.log.expire_transaction(&format!("id {id}")), open);
                if open {
                    self.fence(id);
                }
            }
            3 => self.delete(place),
            4..=6 => {
                let value = self.value();
                let mut appender = self.log.appender().unwrap();
                appender.append(&outgoing(alerts(place as u32), &value)).unwrap();
                assert_eq!(appender.flush(WAIT), Ok(true));
                self.model.places[place].push((value, Fate::Committed));
            }
            7..=9 => self.read(),
            _ => self.write(place),
        }
    }

    /// Time passes; transactions that are open for too long end.
    fn pass(&mut self, time_ms: i64) {
        self.log.advance(time_ms as u64);
        for id in 0..IDS {
            if self.model.open_since_ms[id].is_some_and(|since| since + 3_000 <= self.log.now_ms()) {
                self.fence(id);
            }
        }
    }

    /// Only what every reader has read, so that none falls off the low end.
    fn delete(&mut self, place: usize) {
        let read = |(_, records): &(SimReader, Read)| {
            let last = records.iter().rfind(|(at, _, _)| *at == alerts(place as u32));
            last.map_or(0, |(_, offset, _)| *offset as usize + 1)
        };
        let until = self.readers.iter().map(read).min().unwrap();
        self.log.delete_before(alerts(place as u32), until as u64).unwrap();
        self.model.low[place] = self.model.low[place].max(until);
    }

    fn read(&mut self) {
        let reader = self.rng.below(self.readers.len());
        let (reader, records) = &mut self.readers[reader];
        let before = records.len();
        let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
        let handed = reader
            .poll(WAIT, &mut |record| records.push((record.place, record.offset, text(record.value))))
            .unwrap();
        assert_eq!(records.len() - before, handed);
    }

    fn write(&mut self, place: usize) {
        let index = self.rng.below(self.writers.len());
        let choice = self.rng.below(8);
        let value = self.value();
        let now_ms = self.log.now_ms();
        let writer = &mut self.writers[index];
        if writer.dead {
            let outcome = writer.producer.begin();
            assert!(matches!(outcome, Err(LogError::Fatal(_))), "{outcome:?}");
            return;
        }
        if !writer.begun {
            writer.producer.begin().unwrap();
            writer.begun = true;
            return;
        }
        let id = writer.id;
        let outcome = match choice {
            0 | 1 => writer.producer.commit(),
            2 => writer.producer.abort(),
            _ => {
                writer.producer.send(&outgoing(alerts(place as u32), &value)).unwrap();
                writer.producer.drain(WAIT).map(|drained| assert!(drained))
            }
        };
        if !writer.current {
            assert!(matches!(outcome, Err(LogError::Fatal(_))), "a fenced producer: {outcome:?}");
            writer.dead = true;
            return;
        }
        outcome.unwrap();
        writer.begun = choice > 2;
        match choice {
            0 | 1 => self.model.end(id, Fate::Committed),
            2 => self.model.end(id, Fate::Invisible),
            _ => {
                let last = self.model.places[place].len() as u64;
                assert_eq!(writer.producer.last_offset(alerts(place as u32)), Some(last));
                self.model.places[place].push((value, Fate::Open(id)));
                self.model.open_since_ms[id].get_or_insert(now_ms);
            }
        }
    }

    fn check(&mut self) {
        for place in 0..PLACES {
            let at = alerts(place as u32);
            let low = self.model.low[place] as u64;
            let (stable, high) = (self.model.stable(place) as u64, self.model.places[place].len() as u64);
            assert_eq!(self.log.ends(at), Ok(Ends { low, stable, high }));
            let committed = self.log.all_committed(at).unwrap();
            let committed: Vec<(u64, String)> = committed
                .into_iter()
                .map(|record| (record.offset, String::from_utf8(record.value.unwrap()).unwrap()))
                .collect();
            let visible = self.model.visible(place);
            assert_eq!(committed, visible);
            for (_, records) in &self.readers {
                let read: Vec<(u64, String)> = records
                    .iter()
                    .filter(|(of, _, _)| *of == at)
                    .map(|(_, offset, value)| (*offset, value.clone()))
                    .collect();
                assert_eq!(read, visible[..read.len()], "a reader sees what is visible, in order, once");
            }
        }
    }

    /// Everything ends, everybody reads to the end.
    fn finish(&mut self) {
        self.pass(3_000);
        assert_eq!(self.model.open_since_ms, [None; IDS]);
        for _ in 0..4 * STEPS {
            self.read();
        }
        self.check();
        for (_, records) in &self.readers {
            assert_eq!(
                records.len(),
                (0..PLACES).map(|place| self.model.visible(place).len()).sum::<usize>()
            );
        }
    }
}
