"""Events in two rounds: the second brings columns, tables, people and types that the first lacks."""

SOURCES = """
[[source]]
name = "web"
environment = "prod"
write_key = "wk-web"
platform = "web"
schema = "app_prod"
layout = { identity_rules = true }

[[source]]
name = "phone"
environment = "prod"
write_key = "wk-phone"
schema = "app_prod"

[[source]]
name = "server"
environment = "prod"
write_key = "wk-server"
platform = "server"

[[source]]
name = "web"
environment = "qa"
write_key = "wk-qa"
platform = "web"

[[unified]]
name = "user_events"
exclude_events = ["left_out"]
exclude_columns = ["secret_*"]
aliases = { category = ["catggory"], cost = ["kost", "kosst"], session_id = ["sess"] }

[[unified]]
name = "_keelrow_loads"
include_tables = ["tracks", "record"]
"""

# Names of columns that a warehouse has of its own, in files, tables or both.
THEIRS = ["_time", "_table", "_size", "_path", "_file", "_row_exists", "xmin", "ctid", "_keelrow_place"]

LONG = "a_rather_long_name_of_a_property_that_no_table_of_postgres_can_have_in_full_"
LIBRARIES = [
    {"library": {"name": "RudderLabs JavaScript SDK"}, "userAgent": "Mozilla/5.0 Chrome/120 Electron/28.2"},
    {"library": {"name": "com.rudderstack.android.sdk.core"}, "userAgent": "Dalvik/2.1.0"},
    {"library": {"name": "analytics-go"}},
    {"userAgent": "curl/8"},
    {"userAgent": "okhttp/4"},
    {"library": {"name": "rudder-ios-library"}, "sessionId": 1700000000123},
]


def person(number):
    return {"anonymousId": f"anonymous-{number}", "userId": f"user-{number % 7}"}


def track(name, number, **properties):
    context = LIBRARIES[number % len(LIBRARIES)]
    return {"type": "track", "event": name, "properties": properties, "context": context, **person(number)}


def both(round_number):
    """What either round has."""
    for number in range(40):
        words = {"note": f"it's \\ {number}\n2 \"lines\"", "order": number, "select": number % 2 == 0}
        yield track("Post Created", number, price=number + 0.5, at="2025-02-03T04:05:06.789Z", **words)
        yield track("Left Out", number, secret_number=number)
        category = {"category": "a"} if number % 3 else {"catggory": "b"}
        yield track("Sorted", number, **category, **{LONG + "one": number, LONG + "two": "x"})
    for number in range(12):
        traits = {"plan": f"plan-{number}"} if number % 2 else {"city": f"city-{number}-{round_number}"}
        yield {"type": "identify", "traits": traits, "context": {"locale": "de"}, **person(number)}
        yield {"type": "identify", "traits": {"_keelrow_place": number}, **person(number)}
        # Twelve of each of these, whose values are looked at.
        yield track("Theirs", number, **{name: 1000 + number for name in THEIRS})
        # The ledger of the scripts has this name.
        yield track("_keelrow_loads", number, batch="x", table_name="tracks")
        # An alias where the row has the column itself, as another type, and where it has not.
        own = {"cost": number} if number % 4 == 0 else {"cost": "text"} if number % 4 == 1 else {}
        yield track("Priced", number, kosst=number + 0.5, **own, **({} if number % 2 else {"kost": number}))
        yield track("Priced", number, kost="text", sess=number)
        yield track("Counted", number, depth=number, size=number if number % 2 else number + 0.5)
        yield track("Worded", number, depth=number if number else "deep")
        yield {"type": "extract", "event": "Record", "recordId": f"r{round_number}-{number}", **person(number)}
    for number in range(5):
        yield {"type": "page", "name": f"page {number}", "properties": {"path": "/x"}, **person(number)}
        yield {"type": "screen", "name": f"screen {number}", **person(number)}
        yield {"type": "group", "groupId": f"group {number}", "traits": {"seats": number}, **person(number)}
        yield {"type": "alias", "previousId": f"anonymous-{number}", "userId": f"user-{number}"}


def rounds():
    first = list(both(1))
    # A chain of people that the rules join one by one.
    first += [merge(number, number + 1) for number in range(100, 130)]
    first.append({"type": "track", "event": "Nobody", "properties": {"price": 1}})
    # The second joins two people of the first, and brings a new one.
    second = list(both(2)) + [merge(3, 100), merge(500, 501)]
    second += [track("Post Created", n, price=2.5, brand_new=f"new {n}", order=n + 0.25) for n in range(10)]
    second += [track("Quite New", n, depth=n, user="x") for n in range(10)]
    second.append({"type": "identify", "userId": "user-1", "traits": {"plan": "the last", "logins": 3}})
    return [first, second]


def merge(one, other):
    ids = [{"type": "user_id", "value": f"user-{number}"} for number in (one, other)]
    return {"type": "merge", "mergeProperties": ids, "userId": f"user-{one}"}
