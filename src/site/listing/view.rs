//! How a listing is shown: what its query says, what stands for that behind the directory's
//! name, and the order of the items.

use super::Item;

/// By what items are ordered; directories come first all the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// By name, as bytes without regard to ASCII case.
    #[default]
    Name,
    /// By length.
    Size,
    /// By the time of the last change.
    Time,
}

/// How a listing is to be shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// By what.
    pub order: Order,
    /// The other way round.
    pub is_descending: bool,
    /// JSON instead of a page.
    pub is_json: bool,
}

/// What parts a name from the view behind it; no name has it.
const BEFORE_VIEW: u8 = 0;
const ORDERS: [Order; 3] = [Order::Name, Order::Size, Order::Time];

impl View {
    /// Appends it to the name of a directory, unless it is the usual one: each view of a directory is an entry of its
    /// own.
    pub fn append_to(self, name: &mut Vec<u8>) {
        if self != View::default() {
            let order = ORDERS.iter().position(|&order| order == self.order);
            let flags = u8::from(self.is_descending) | u8::from(self.is_json) << 1;
            name.extend([BEFORE_VIEW, (order.unwrap_or_default() as u8) << 2 | flags]);
        }
    }

    /// A name, and the view behind it.
    pub fn of_key(key: &[u8]) -> (&[u8], View) {
        let Some((name, &[BEFORE_VIEW, view])) = key.split_last_chunk() else {
            return (key, View::default());
        };
        let view = View {
            order: ORDERS
                .get(usize::from(view >> 2))
                .copied()
                .unwrap_or_default(),
            is_descending: view & 1 != 0,
            is_json: view & 2 != 0,
        };
        (name, view)
    }

    /// The media type of what it makes.
    pub fn media_type(self) -> &'static str {
        match self.is_json {
            true => "application/json",
            false => "text/html; charset=utf-8",
        }
    }

    /// What a query asks for: `json`, `sort=name|size|time`, `desc`, joined by `&`.
    /// What it does not know it ignores.
    pub fn of_query(query: &[u8]) -> View {
        let mut view = View::default();
        for word in query.split(|&byte| byte == b'&') {
            match word {
                b"json" => view.is_json = true,
                b"desc" => view.is_descending = true,
                b"sort=name" => view.order = Order::Name,
                b"sort=size" => view.order = Order::Size,
                b"sort=time" => view.order = Order::Time,
                _ => {}
            }
        }
        view
    }

    /// Puts `items` in order.
    pub fn sort(self, items: &mut [Item]) {
        items.sort_by(|a, b| {
            let by_name = || folded(a).cmp(folded(b)).then_with(|| a.name.cmp(&b.name));
            let order = match self.order {
                Order::Name => by_name(),
                Order::Size if a.is_directory => by_name(),
                Order::Size => a.size_bytes.cmp(&b.size_bytes).then_with(by_name),
                Order::Time => a.modified.cmp(&b.modified).then_with(by_name),
            };
            let order = if self.is_descending {
                order.reverse()
            } else {
                order
            };
            b.is_directory.cmp(&a.is_directory).then(order)
        });
    }
}

fn folded(item: &Item) -> impl Iterator<Item = u8> + '_ {
    item.name.iter().map(u8::to_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use super::super::tests::item;
    use super::*;

    fn names(view: View) -> Vec<String> {
        let mut items = [
            item(b"b", 5, 30),
            item(b"z/", 9, 10),
            item(b"A", 5, 20),
            item(b"c", 1, 20),
            item(b"y/", 3, 40),
            item(b"a", 7, 1),
        ];
        view.sort(&mut items);
        let name = |item: &Item| String::from_utf8_lossy(&item.name).into_owned();
        items.iter().map(name).collect()
    }

    #[test]
    fn a_query_decides_about_the_order() {
        for (query, want) in [
            ("", ["y", "z", "A", "a", "b", "c"]),
            ("sort=name&desc", ["z", "y", "c", "b", "a", "A"]),
            ("sort=size", ["y", "z", "c", "A", "b", "a"]),
            ("desc&sort=size&x", ["z", "y", "a", "b", "A", "c"]),
            ("sort=time", ["z", "y", "a", "A", "c", "b"]),
            ("sort=color", ["y", "z", "A", "a", "b", "c"]),
        ] {
            assert_eq!(names(View::of_query(query.as_bytes())), want, "{query}");
        }
        assert!(View::of_query(b"json").is_json && !View::of_query(b"json=1").is_json);
    }

    #[test]
    fn a_view_goes_behind_a_name_and_comes_back() {
        for query in [
            "",
            "json",
            "desc",
            "sort=size",
            "sort=time&desc&json",
            "sort=size&json",
        ] {
            let view = View::of_query(query.as_bytes());
            let mut key = b"a/".to_vec();
            view.append_to(&mut key);
            assert_eq!(key == b"a/", query.is_empty());
            assert_eq!(View::of_key(&key), (&b"a/"[..], view), "{query}");
        }
        for name in ["", "a", "a/"] {
            assert_eq!(
                View::of_key(name.as_bytes()),
                (name.as_bytes(), View::default())
            );
        }
    }
}
