//! Whose turn it is to change something.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    pin::pin,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use ringmq_io::{Clock as _, Shares, Spawn as _, sim::Sim};

use super::Subject;
use crate::testing::{config, control};

const WRITE: Duration = Duration::from_millis(1);

/// Before, every change woke all that waited, whatever they waited for.
#[test]
fn of_very_many_changes_of_one_topic_each_waits_once_and_in_the_order_of_coming() {
    const CHANGES: usize = 300;
    Sim::new(1).run(async |runtime| {
        let control = control(&runtime, config(&[])).await;
        let subject = |name: &str| Subject::Topic(Arc::from(name));
        let (polls, came, went) =
            (Rc::<Cell<usize>>::default(), Rc::<RefCell<Vec<_>>>::default(), Rc::default());
        for number in 0..CHANGES {
            let (control, runtime, subject) = (control.clone(), runtime.clone(), subject("busy"));
            let (polls, came, went): (_, _, Rc<RefCell<Vec<_>>>) =
                (polls.clone(), came.clone(), Rc::clone(&went));
            runtime.clone().spawn(Shares::Foreground, "change", async move {
                came.borrow_mut().push(number);
                let mut begin = pin!(control.begin(subject));
                let begin = poll_fn(|context| {
                    polls.set(polls.get() + 1);
                    begin.as_mut().poll(context)
                });
                let _turn = begin.await;
                went.borrow_mut().push(number);
                runtime.sleep(WRITE).await;
            });
        }
        let began = runtime.monotonic();
        for _ in 0..10 {
            let _turn = control.begin(subject("other")).await;
            runtime.sleep(WRITE).await;
        }
        assert!(runtime.monotonic() - began < WRITE * 11, "others do not wait for it");
        while went.borrow().len() < CHANGES {
            runtime.sleep(WRITE).await;
        }
        runtime.sleep(WRITE * 2).await;
        assert_eq!(*went.borrow(), *came.borrow());
        assert!(polls.get() <= 2 * CHANGES, "{} polls", polls.get());
        assert!(control.metadata.lines.borrow().is_empty());
    });
}
