#![forbid(unsafe_code)]
fn main() {
    let meter = std::sync::Arc::new(ringmq_campaign::meter::Meter::new("x", 1, None));
    let hunt = ringmq_campaign::power::Hunt {
        seed: 8,
        images: 100,
        only: Some(201),
        lie: Default::default(),
    };
    ringmq_campaign::power::run_seed(&meter, hunt);
    let meter = std::sync::Arc::new(ringmq_campaign::meter::Meter::new("x", 1, None));
    for seed in 1..300 {
        let hunt =
            ringmq_campaign::power::Hunt { seed, images: 100, only: None, lie: Default::default() };
        ringmq_campaign::power::run_seed(&meter, hunt);
    }
    println!("{}", meter.line());
    let meter = std::sync::Arc::new(ringmq_campaign::meter::Meter::new("x", 1, None));
    for seed in 1..4 {
        let hunt =
            ringmq_campaign::errors::Hunt { seed, step: 1, only: None, lie: Default::default() };
        ringmq_campaign::errors::run_seed(&meter, hunt);
    }
    println!("{}", meter.line());
}
