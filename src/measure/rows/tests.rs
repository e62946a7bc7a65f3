//! Orders, refunds, guests and exact numbers, on rows written by hand.

use super::*;

struct Row(Vec<&'static str>);

impl Cells for Row {
    fn cell(&self, column: usize) -> &str {
        self.0.get(column).copied().unwrap_or("")
    }
}

/// order, customer, quantity, price, time, label
fn layout() -> Layout {
    Layout {
        time: TimeLayout { column: 4, unit_us: 1_000_000, epoch_ms: 1_000_000_000_000, moment: |_| None },
        decimals: 2,
        guests: vec!["0".into()],
        constants: Constants { currency: Currency::parse("GBP"), quantity: 1, ..Constants::default() },
        purchase: Some(PurchaseLayout {
            order: Some(0),
            customer: Some(1),
            quantity: Some(2),
            price: 3,
            negative_is_refund: true,
            ..PurchaseLayout::default()
        }),
        engagement: None,
        feedback: None,
        label: Some(LabelLayout { column: 5, fraud: "1".into() }),
    }
}

fn map(rows: &[[&'static str; 6]]) -> (Vec<Mapped>, Vec<LeftOut>) {
    let (mut mapper, mut out, mut left_out) = (Rows::new(layout(), 0), Vec::new(), Vec::new());
    for (number, row) in rows.iter().enumerate() {
        let pushed = mapper.push(number as u64, &Row(row.to_vec()), &mut out);
        left_out.extend(pushed.err());
    }
    mapper.finish(&mut out);
    (out, left_out)
}

fn purchases(mapped: &[Mapped]) -> Vec<&Purchase<'static>> {
    let purchases = mapped.iter().map(|mapped| match &mapped.event {
        Event::Purchase(purchase) => purchase,
        other => panic!("{other:?}"),
    });
    purchases.collect()
}

#[test]
fn lines_of_an_order_are_one_purchase() {
    let (mapped, left_out) = map(&[
        ["A", "7", "2", "1.50", "10", "0"],
        ["A", "7", "1", "0.125", "70", "1"],
        ["A", "7", "-1", "1.5", "70", ""],
        ["B", "", "1", "3", "80", "1"],
        ["B", "0", "1", "4", "80", ""],
        ["A", "7", "1", "9", "90", ""],
        ["D", "9", "1", "1", "90", ""],
        ["A", "7", "1", "1", "90", ""],
        ["D", "9", "1", "2", "90", ""],
        ["C", "8", "1", "", "90", ""],
        ["C", "8", "x", "1", "90", ""],
        ["C", "8", "1", "1", "never", ""],
    ]);
    let found = purchases(&mapped);
    let said: Vec<_> =
        found.iter().map(|p| (&*p.order, p.customer.as_deref(), p.lines.len(), p.refund)).collect();
    assert_eq!(
        said,
        [
            ("A", Some("7"), 4, false),
            ("A", Some("7"), 1, true),
            ("B", None, 2, false),
            ("D", Some("9"), 2, false),
        ]
    );
    let amounts: Vec<i64> = found.iter().map(|p| p.amount_minor()).collect();
    assert_eq!(amounts, [1313, 150, 700, 300]);
    assert_eq!(found[0].time_ms, 1_000_000_010_000, "the first line's");
    let ids: std::collections::BTreeSet<&str> = found.iter().map(|p| &*p.event_id).collect();
    assert_eq!(ids.len(), 4);
    let labels: Vec<Option<bool>> = mapped.iter().map(|mapped| mapped.fraud).collect();
    assert_eq!(labels, [Some(false), None, Some(true), None]);
    assert_eq!(left_out, [LeftOut::Price, LeftOut::Quantity, LeftOut::Time]);
}

#[test]
fn numbers_are_exact() {
    for (text, minor) in [
        ("6.95", Some(695)),
        ("-53594.36", Some(-5_359_436)),
        ("0.001", Some(0)),
        ("0.005", Some(1)),
        ("1e2", Some(10_000)),
        (" 7 ", Some(700)),
        (".5", Some(50)),
        ("", None),
        (".", None),
        ("NaN", None),
        ("inf", None),
        ("12a", None),
        ("99999999999999999999", None),
    ] {
        assert_eq!(cell::minor_units(text, 2), minor, "{text}");
    }
    assert_eq!((cell::whole("12.0"), cell::whole("-3"), cell::whole("1.5")), (Some(12), Some(-3), None));
    assert_eq!(cell::thousandths("1.5", 1_000_000), Some(1_500));
    assert_eq!(cell::thousandths("-1", 86_400_000_000), Some(-86_400_000));
    assert_eq!(cell::thousandths("1500", 1), Some(1));
}
