//! Orders, refunds, guests and exact numbers, on rows written by hand.

use super::*;

struct Row(Vec<&'static str>);

impl Cells for Row {
    fn cell(&self, column: usize) -> &str {
        self.0.get(column).copied().unwrap_or("")
    }

    fn hash(&self) -> u64 {
        xxhash_rust::xxh3::xxh3_64(self.0.join(",").as_bytes())
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
    let (mut mapper, mut out, mut left_out) = (Rows::new(layout()), Vec::new(), Vec::new());
    for row in rows {
        let pushed = mapper.push(&Row(row.to_vec()), &mut out);
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
    assert_eq!(labels, [Some(true), None, Some(true), None]);
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

/// Event id, refund, amount and fraud, where an order's number is its event's id.
fn map_with_ids(rows: &[[&'static str; 6]]) -> Vec<(String, bool, i64, Option<bool>)> {
    let mut layout = layout();
    layout.purchase.as_mut().expect("it has one").event_id = Some(0);
    let (mut mapper, mut out) = (Rows::new(layout), Vec::new());
    rows.iter().for_each(|row| mapper.push(&Row(row.to_vec()), &mut out).expect("a row"));
    mapper.finish(&mut out);
    let said = purchases(&out).into_iter().map(|p| (p.event_id.to_string(), p.refund, p.amount_minor()));
    said.zip(&out).map(|((id, refund, amount), mapped)| (id, refund, amount, mapped.fraud)).collect()
}

#[test]
fn returned_lines_of_an_order_have_an_id_of_their_own() {
    let rows =
        [["A", "7", "2", "10", "10", "0"], ["A", "7", "-1", "4", "10", ""], ["A", "7", "1", "1", "10", "1"]];
    let found = map_with_ids(&rows);
    assert_eq!((found[0].0.as_str(), found[0].1, found[0].2), ("A", false, 2_100));
    assert_eq!(found[0].3, Some(true), "one line that is fraud makes it the order");
    assert!(found[1].0 != "A" && found[1].1, "{found:?}");
    assert_eq!(map_with_ids(&rows), found, "again the same");
    // Equal rows.
    let twice = map_with_ids(&[["", "7", "1", "4", "10", ""], ["", "7", "1", "4", "10", ""]]);
    assert_ne!(twice[0].0, twice[1].0, "two equal rows of one file are two");
}

#[test]
fn a_time_of_another_unit_is_none() {
    let (mapped, left_out) = map(&[["A", "7", "1", "1", "1704103200000", ""]]);
    assert!(mapped.is_empty() && left_out == [LeftOut::Time], "{left_out:?}");
}
