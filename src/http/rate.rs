//! How fast responses may be sent: token buckets in integer arithmetic.
//!
//! A connection may have a rate of its own, and all connections of a worker one together. What a connection may send
//! of the latter is reserved for it in the order of asking, in pieces, so that each is woken once, when its turn has
//! come, and none is forgotten.

use crate::site::Now;

const NS_PER_S: u128 = 1_000_000_000;

/// What may be sent at once after a pause: that of a quarter of a second, and at least so much.
const BURST_PER_S: u64 = 4;
const MIN_BURST_BYTES: u64 = 64 * 1024;

/// What somebody who has to wait waits for: that of a fiftieth of a second, so that there are no more wake-ups than that,
/// within these bounds.
const QUANTA_PER_S: u64 = 50;
const MIN_QUANTUM_BYTES: u64 = 4 * 1024;
const MAX_QUANTUM_BYTES: u64 = 64 * 1024;

/// How long what is reserved for somebody may wait to be sent.
const GRANT_LASTS: Now = Now::from_millis(100);

/// A bucket that fills at a rate.
#[derive(Debug, Clone)]
pub struct Bucket {
    rate_bytes_per_s: u64,
    burst_bytes: u64,
    /// When it will be full, nanoseconds since the clock's start. Later than a whole bucket takes: there is a debt.
    full_at_ns: u64,
}

impl Bucket {
    /// A full bucket.
    pub fn new(rate_bytes_per_s: u64) -> Self {
        Bucket {
            rate_bytes_per_s: rate_bytes_per_s.max(1),
            burst_bytes: (rate_bytes_per_s / BURST_PER_S).max(MIN_BURST_BYTES),
            full_at_ns: 0,
        }
    }

    /// Bytes that may be sent `now`.
    pub fn allowance_bytes(&self, now: Now) -> u64 {
        let missing_ns = self.full_at_ns.saturating_sub(ns(now));
        let there_ns = self.ns_of(self.burst_bytes).saturating_sub(missing_ns);
        let there = u128::from(there_ns) * u128::from(self.rate_bytes_per_s) / NS_PER_S;
        u64::try_from(there)
            .unwrap_or(u64::MAX)
            .min(self.burst_bytes)
    }

    /// When `bytes`, no more than it holds, may be sent: `now` if they already may.
    pub fn ready_at(&self, bytes: u64, now: Now) -> Now {
        let empty_at_ns =
            self.full_at_ns.max(ns(now)) as i128 - self.ns_of(self.burst_bytes) as i128;
        let at_ns = (empty_at_ns + self.ns_of(bytes) as i128).max(ns(now).into());
        // Timers know microseconds, and too early would be in vain.
        Now::from_micros(u64::try_from(at_ns).unwrap_or(u64::MAX).div_ceil(1_000)).max(now)
    }

    /// Takes `bytes` out of it, and more than there are if need be.
    pub fn spend(&mut self, bytes: u64, now: Now) {
        let from_ns = self.full_at_ns.max(ns(now));
        self.full_at_ns = from_ns.saturating_add(self.ns_of(bytes));
    }

    /// Puts `bytes` back that were taken and not sent.
    pub fn give_back(&mut self, bytes: u64) {
        self.full_at_ns = self.full_at_ns.saturating_sub(self.ns_of(bytes));
    }

    /// How long it takes for `bytes` to come in.
    fn ns_of(&self, bytes: u64) -> u64 {
        let ns = (u128::from(bytes) * NS_PER_S).div_ceil(self.rate_bytes_per_s.into());
        u64::try_from(ns).unwrap_or(u64::MAX)
    }

    /// What somebody who waits should wait for.
    fn quantum_bytes(&self) -> u64 {
        (self.rate_bytes_per_s / QUANTA_PER_S).clamp(MIN_QUANTUM_BYTES, MAX_QUANTUM_BYTES)
    }
}

fn ns(time: Now) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// What limits the connections of one worker.
#[derive(Debug, Clone)]
pub struct Limiter {
    /// Bytes a second of each.
    each: Option<u64>,
    /// Of all together.
    all: Option<Bucket>,
}

/// What is remembered for it of one connection.
#[derive(Debug, Clone)]
pub struct Share {
    own: Option<Bucket>,
    /// Bytes of all connections' that are reserved for it, and may be sent then.
    granted_bytes: u64,
    granted_at: Now,
}

impl Limiter {
    /// A limiter to so many bytes a second `each`, and of `all` together; `None` if neither is limited.
    pub fn new(each: Option<u64>, all: Option<u64>) -> Option<Self> {
        (each.is_some() || all.is_some()).then(|| Limiter {
            each,
            all: all.map(Bucket::new),
        })
    }

    /// The share of a new connection.
    pub fn share(&self) -> Share {
        Share {
            own: self.each.map(Bucket::new),
            granted_bytes: 0,
            granted_at: Now::ZERO,
        }
    }

    /// How many of `len` bytes, one at least, may be sent `now`.
    ///
    /// # Errors
    /// When to ask again: none before then.
    pub fn allow(&mut self, share: &mut Share, len: usize, now: Now) -> Result<usize, Now> {
        let mut most = len as u64;
        if let Some(own) = &share.own {
            let least = most.min(own.quantum_bytes());
            let allowed = own.allowance_bytes(now);
            if allowed < least {
                return Err(own.ready_at(least, now));
            }
            most = most.min(allowed);
        }
        if let Some(all) = &mut self.all {
            // Nobody saves up what was not sent in its time.
            if share.granted_bytes == 0 || now > share.granted_at + GRANT_LASTS {
                share.granted_bytes = most.min(all.quantum_bytes());
                share.granted_at = all.ready_at(share.granted_bytes, now);
                all.spend(share.granted_bytes, now);
            }
            if now < share.granted_at {
                return Err(share.granted_at);
            }
            most = most.min(share.granted_bytes);
        }
        Ok(most as usize)
    }

    /// A connection is over: what was reserved for it is for others. Who comes and goes would else take it all.
    pub fn end(&mut self, share: &Share, now: Now) {
        if let Some(all) = &mut self.all
            && now < share.granted_at
        {
            all.give_back(share.granted_bytes);
        }
    }

    /// `bytes` of what was allowed have been sent.
    pub fn spend(&self, share: &mut Share, bytes: usize, now: Now) {
        if let Some(own) = &mut share.own {
            own.spend(bytes as u64, now);
        }
        share.granted_bytes = share.granted_bytes.saturating_sub(bytes as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: Now = Now::from_secs(1_000);

    /// What `shares` have sent, each wanting more all the time, when they were woken as they asked for `seconds`.
    fn run(limiter: &mut Limiter, connections: usize, seconds: u64) -> (Vec<u64>, u64) {
        let mut shares: Vec<(Now, Share, u64)> = (0..connections)
            .map(|_| (START, limiter.share(), 0))
            .collect();
        let mut turns = 0;
        while let Some((at, share, sent)) = shares.iter_mut().min_by_key(|(at, ..)| *at)
            && *at < START + Now::from_secs(seconds)
        {
            match limiter.allow(share, 100_000, *at) {
                Ok(bytes) => {
                    limiter.spend(share, bytes, *at);
                    *sent += bytes as u64;
                }
                Err(later) => {
                    assert!(later > *at, "in vain at {at:?}");
                    *at = later;
                    turns += 1;
                }
            }
        }
        (shares.into_iter().map(|(_, _, sent)| sent).collect(), turns)
    }

    #[test]
    fn each_gets_its_rate_and_a_burst() {
        for (rate, burst, most_turns) in [
            (10_000, 65_536, 25),
            (1_000_000, 250_000, 510),
            (100_000_000, 25_000_000, 16_000),
        ] {
            let mut limiter = Limiter::new(Some(rate), None).expect("a limit");
            let (sent, turns) = run(&mut limiter, 1, 10);
            let want = burst + 10 * rate;
            let slack = MAX_QUANTUM_BYTES;
            assert!(
                (want - slack..=want).contains(&sent[0]),
                "{rate}: {sent:?}, {want}"
            );
            assert!(turns <= most_turns, "{rate}: {turns}");
        }
    }

    #[test]
    fn all_get_the_same_of_what_there_is() {
        let mut limiter = Limiter::new(None, Some(1_000_000)).expect("a limit");
        let (sent, turns) = run(&mut limiter, 10, 20);
        let (least, most) = (sent.iter().min().copied(), sent.iter().max().copied());
        let (least, most) = (least.expect("ten"), most.expect("ten"));
        let total: u64 = sent.iter().sum();
        assert!((19_800_000..=20_250_000).contains(&total), "{total}");
        // The first had the burst.
        assert!(most - least <= 250_000 + 20_000, "{sent:?}");
        assert!(turns <= 1_100, "{turns}");
    }

    #[test]
    fn both_limits_hold() {
        let mut limiter = Limiter::new(Some(50_000), Some(1_000_000)).expect("a limit");
        let (sent, _) = run(&mut limiter, 3, 10);
        assert!(
            sent.iter().all(|sent| (500_000..=565_536).contains(sent)),
            "{sent:?}"
        );
        assert!(Limiter::new(None, None).is_none());
    }

    #[test]
    fn who_goes_takes_nothing_along() {
        let mut limiter = Limiter::new(None, Some(1_000_000)).expect("a limit");
        let mut waiting = || {
            let mut share = limiter.share();
            let mut last = Ok(0);
            for _ in 0..100 {
                last = limiter.allow(&mut share, 100_000, START);
                let Ok(bytes) = last else { break };
                limiter.spend(&mut share, bytes, START);
            }
            limiter.end(&share, START);
            last
        };
        let first = waiting();
        assert!(
            first.is_err_and(|at| at < START + Now::from_millis(30)),
            "{first:?}"
        );
        for _ in 0..1_000 {
            assert_eq!(waiting(), first);
        }
    }

    #[test]
    fn what_is_short_need_not_wait_for_more_than_itself() {
        let mut limiter = Limiter::new(Some(10_000), None).expect("a limit");
        let mut share = limiter.share();
        assert_eq!(limiter.allow(&mut share, 70_000, START), Ok(65_536));
        limiter.spend(&mut share, 65_536, START);
        let wait = limiter.allow(&mut share, 100, START);
        assert_eq!(wait, Err(START + Now::from_millis(10)));
        let wait = limiter.allow(&mut share, 70_000, START);
        assert_eq!(wait, Err(START + Now::from_micros(409_600)));
    }

    proptest! {
        /// In no stretch of time leaves more than the burst and what the rate has for it.
        #[test]
        fn never_more_than_burst_and_rate(
            rate in 1..1u64 << 40,
            steps in prop::collection::vec((0..2_000_000u64, 1..10_000_000u64), 1..50),
        ) {
            let mut bucket = Bucket::new(rate);
            let (mut now, mut sent) = (START, 0);
            for (pause_us, want) in steps {
                now += Now::from_micros(pause_us);
                let bytes = bucket.allowance_bytes(now).min(want);
                bucket.spend(bytes, now);
                sent += bytes;
                let elapsed_ns = (now - START).as_nanos();
                let most = u128::from(bucket.burst_bytes) + u128::from(rate) * elapsed_ns / NS_PER_S;
                // Times are whole nanoseconds.
                prop_assert!(u128::from(sent) <= most + 1, "{sent} > {most}");
                let want = want.min(bucket.burst_bytes);
                let at = bucket.ready_at(want, now);
                prop_assert!(bucket.allowance_bytes(at) >= want);
            }
        }
    }
}
