//! Tensors in work: several at once, as threads and memory allow, handed on in their order.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};

use crate::control::Control;
use crate::error::{PressError, panic_text};

/// Both ends of the work, on the caller's thread.
pub(crate) trait Ends {
    /// What a worker needs to do one piece of work.
    type Job: Send;
    /// What it makes.
    type Done: Send;

    /// The next piece of work and the bytes of memory it takes until it is handed on; `None` after the last.
    fn next(&mut self) -> Result<Option<(Self::Job, u64)>, PressError>;

    /// Takes what was made, in the order of [`next`](Self::next).
    fn take(&mut self, done: Self::Done) -> Result<(), PressError>;

    /// Whether the next piece of work is known before those in work are taken.
    fn ready(&self) -> bool {
        true
    }

    /// Pieces that wait for a worker or to be taken, beside one in work for each worker. Where taking is slow, workers that finish together
    /// need one each.
    fn waiting(&self) -> usize {
        1
    }
}

/// Runs every piece of work.
pub(crate) fn run<E: Ends>(
    control: &Control<'_>,
    ends: &mut E,
    work: impl Fn(E::Job) -> Result<E::Done, PressError> + Sync,
) -> Result<(), PressError> {
    let pool = control.pool()?;
    let workers = pool.current_num_threads();
    let (jobs, queue) = channel::<(usize, E::Job)>();
    let queue = Mutex::new(queue);
    let (results, finished) = channel();
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let (queue, pool, work, results) = (&queue, &pool, &work, results.clone());
            scope.spawn(move || {
                loop {
                    let job = queue.lock().ok().and_then(|queue| queue.recv().ok());
                    let Some((number, job)) = job else { return };
                    let done = caught(|| pool.install(|| work(job)));
                    if results.send((number, done)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(results);
        // Dropped on every way out, which ends the workers.
        let jobs = jobs;
        let mut state = Line { workers, sent: 0, taken: 0, over: false, costs: BTreeMap::new(), waiting: None };
        let mut early = BTreeMap::new();
        loop {
            state.hand_out(control, ends, &jobs)?;
            if state.taken == state.sent {
                return Ok(());
            }
            let Ok((number, done)) = finished.recv() else {
                return Err(PressError::Panicked { tensor: String::new(), why: "a worker ended".to_owned() });
            };
            early.insert(number, done?);
            while let Some(done) = early.remove(&state.taken) {
                ends.take(done)?;
                state.costs.remove(&state.taken);
                state.taken += 1;
            }
        }
    })
}

/// What work comes to; a panic is an error.
fn caught<T>(work: impl FnOnce() -> Result<T, PressError>) -> Result<T, PressError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        Err(PressError::Panicked { tensor: String::new(), why: panic_text(payload.as_ref()) })
    })
}

/// What is in work.
struct Line<J> {
    workers: usize,
    /// Pieces handed out, and handed on.
    sent: usize,
    taken: usize,
    /// Whether there is nothing more to hand out.
    over: bool,
    /// Bytes of memory by piece, from handing it out to handing it on.
    costs: BTreeMap<usize, u64>,
    /// The next piece, while it does not fit in memory.
    waiting: Option<(J, u64)>,
}

impl<J> Line<J> {
    /// Hands out work while threads and memory allow. A piece that is larger than all memory goes alone.
    fn hand_out<E: Ends<Job = J>>(
        &mut self,
        control: &Control<'_>,
        ends: &mut E,
        jobs: &Sender<(usize, J)>,
    ) -> Result<(), PressError> {
        while !self.over {
            control.check()?;
            if self.waiting.is_none() {
                let full =
                    self.costs.len() >= self.workers + ends.waiting() || (!self.costs.is_empty() && !ends.ready());
                if full {
                    break;
                }
                self.waiting = ends.next()?;
                self.over = self.waiting.is_none();
            }
            let Some((_, cost)) = &self.waiting else { break };
            let in_work: u64 = self.costs.values().sum();
            if !self.costs.is_empty() && in_work.saturating_add(*cost) > control.memory() {
                break;
            }
            if let Some((job, cost)) = self.waiting.take() {
                self.costs.insert(self.sent, cost);
                let _ = jobs.send((self.sent, job));
                self.sent += 1;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Count {
        next: usize,
        taken: Vec<usize>,
        follows: bool,
    }

    impl Ends for Count {
        type Job = usize;
        type Done = usize;

        fn next(&mut self) -> Result<Option<(usize, u64)>, PressError> {
            assert!(!self.follows || self.taken.len() == self.next);
            let job = (self.next < 50).then_some((self.next, 100 << (self.next % 7)));
            self.next += 1;
            Ok(job)
        }

        fn take(&mut self, done: usize) -> Result<(), PressError> {
            self.taken.push(done);
            Ok(())
        }

        fn ready(&self) -> bool {
            !self.follows
        }
    }

    #[test]
    fn work_comes_out_in_order_whatever_threads_and_memory() {
        for threads in [1, 2, 7] {
            for max_memory in [0, 1000, u64::MAX] {
                for follows in [false, true] {
                    let control = Control { threads, max_memory: Some(max_memory), ..Control::default() };
                    let mut ends = Count { next: 0, taken: Vec::new(), follows };
                    run(&control, &mut ends, |job| {
                        std::thread::sleep(std::time::Duration::from_micros(100 * (job as u64 % 3)));
                        Ok(job)
                    })
                    .unwrap();
                    assert_eq!(ends.taken, (0..50).collect::<Vec<_>>());
                }
            }
        }
    }

    #[test]
    fn an_error_ends_it() {
        let control = Control { threads: 2, ..Control::default() };
        let mut ends = Count { next: 0, taken: Vec::new(), follows: false };
        let result = run(&control, &mut ends, |job| if job == 9 { Err(PressError::Cancelled) } else { Ok(job) });
        assert!(matches!(result, Err(PressError::Cancelled)));
        assert_eq!(ends.taken, (0..9).collect::<Vec<_>>()[..ends.taken.len()]);
    }
}
