"""The tables, for both engines. A change here needs a migration; a test compares the two.

Keys: rows point at each other by small integers (`key`); the world knows 16-byte ids. A room's messages and events
share its `seq`, and a message has the seq of the event that created it, which therefore repeats nothing of it.
What people and models wrote lies in `messages.text` alone. Messages and events have no foreign keys: the same
transaction has found and locked what they point at, nothing is ever removed, and checking them again costs a sixth of
a write; `store.verify` looks for strays. Booleans in words: `members.speaks` is null for who is no agent.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Text,
    UniqueConstraint,
    and_,
    literal_column,
)

from palaver.model import (
    AccountStatus,
    ActorKind,
    EventType,
    MemberRole,
    OpenTo,
    Role,
    ServerRole,
    Speaks,
    Status,
    TicketKind,
    TitleSource,
    TurnState,
    Visibility,
)
from palaver.model.agents import Audience
from palaver.model.exchanges import ExchangeKind, ExchangeState
from palaver.model.profiles import ProfileKind
from palaver.model.usage import BudgetKind, BudgetPeriod
from palaver.store.branch_tables import branches
from palaver.store.columns import Choice, Cid, Digest, Id, Json, Key, OptionalChoice, SafeText
from palaver.store.mark_tables import pins, reactions, stars
from palaver.store.tables import metadata, partial_index as _partial_index, table as _table
from palaver.store.webhook_tables import deliveries, delivery_waits, webhooks

__all__ = [
    "branches",
    "deliveries",
    "delivery_waits",
    "metadata",
    "pins",
    "reactions",
    "stars",
    "webhooks",
]

meta = _table(
    "meta",
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

actors = _table(
    "actors",
    Column("key", Key, primary_key=True, autoincrement=True),
    Column("id", Id(), nullable=False, unique=True),
    Column("kind", Choice(ActorKind), nullable=False),
    Column("handle", SafeText, nullable=False, unique=True),
    Column("name", SafeText, nullable=False),
    Column("guest", Boolean, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    # true for a guest of whom nothing is kept: who has said and made nothing, and may be deleted; else null
    Column("unused", Boolean),
    # what people call who has an account, where `handle` is an inner name; and what no two of them have alike
    Column("public_handle", SafeText),
    Column("skeleton", SafeText),
    # who has the account that somebody went into with all that was theirs; what they said stays theirs
    Column("became_key", Key),
    # a person's own: what their clients are to remember, a label that no mail is sent to, and a picture (see `blobs`)
    Column("preferences", Json),
    Column("email", SafeText),
    Column("avatar", Digest),
)
actor_has_email = actors.c.email.is_not(None)
_partial_index("actors_email", actor_has_email, actors.c.email)
_partial_index("actors_skeleton", actors.c.skeleton.is_not(None), actors.c.skeleton, unique=True)
actor_is_unused = actors.c.unused.is_(True)
_partial_index("actors_became", actors.c.became_key.is_not(None), actors.c.became_key)
_partial_index("actors_unused", actor_is_unused, actors.c.created_ms, actors.c.key)

# bytes that something else refers to by their digest, which is keyed by its id: so each row has one owner
blobs = _table(
    "blobs",
    Column("digest", Digest, primary_key=True),
    Column("media_type", Text, nullable=False),
    Column("data", LargeBinary, nullable=False),
)

sessions = _table(
    "sessions",
    Column("token_sha256", LargeBinary, primary_key=True),
    Column("actor_key", Key, ForeignKey("actors.key"), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("name", SafeText),
    # a session that has ended stays, so that its token begins no other one
    Column("ended_ms", BigInteger),
    Column("used_ms", BigInteger),  # about a minute behind; null: not since it began
    Column("expires_ms", BigInteger),  # null for the id that a classic client chose
    # by what it was used last: the program, in a few words, and its address
    Column("agent", SafeText),
    Column("address", SafeText),
    # true where it has ended because its person got another token; else null
    Column("replaced", Boolean),
    # the provider's name of its own session, by which this one began; empty: it has none; null: begun by something else
    Column("elsewhere", SafeText),
)
session_has_ended = sessions.c.ended_ms.is_not(None)
session_is_of_elsewhere = sessions.c.elsewhere.is_not(None)
_partial_index("sessions_elsewhere", session_is_of_elsewhere, sessions.c.elsewhere)
_partial_index("sessions_ended", session_has_ended, sessions.c.ended_ms)
Index("sessions_actor", sessions.c.actor_key)

accounts = _table(
    "accounts",
    Column("actor_key", Key, ForeignKey("actors.key"), primary_key=True, autoincrement=False),
    Column("status", Choice(AccountStatus), nullable=False),
    # argon2id, as a PHC string; null until one is chosen
    Column("password", Text),
    Column("created_ms", BigInteger, nullable=False),
    Column(
        "role", Choice(ServerRole)
    ),  # never null, which SQLite cannot say of a column that came later
)
account_is_owner = and_(
    accounts.c.role == literal_column("'owner'"), accounts.c.status == literal_column("'active'")
)
_partial_index("accounts_owners", account_is_owner, accounts.c.actor_key)

# who one is elsewhere: at a provider, or as a proxy says it; when that last let them in
identities = _table(
    "identities",
    Column("issuer", SafeText, nullable=False),
    Column("subject", SafeText, nullable=False),
    Column("actor_key", Key, ForeignKey("actors.key"), nullable=False),
    Column("seen_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("issuer", "subject"),
)
Index("identities_actor", identities.c.actor_key)

# what is good once: of an attempt to sign in elsewhere what is known of it, and what has been used up
once = _table(
    "once",
    Column("digest", LargeBinary, primary_key=True),
    Column("said", LargeBinary, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
)
Index("once_expires", once.c.expires_ms)

tickets = _table(
    "tickets",
    Column("id", Id("i_"), primary_key=True),
    Column("kind", Choice(TicketKind), nullable=False),
    Column("actor_key", Key, ForeignKey("actors.key"), nullable=False),
    Column("token_sha256", LargeBinary, nullable=False, unique=True),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),  # on the database's clock
    Column("used_ms", BigInteger),
    Column("revoked_ms", BigInteger),
    # of an invitation: into which room (like `rooms.parent_key`), as what, and for how many more (null: any number)
    Column("room_key", Key),
    Column("role", Choice(MemberRole)),
    Column("uses_left", BigInteger),
    # of a link to another password: who made it; null: the operator
    Column("by_key", Key),
    # of an invitation to the server: as what, and into which rooms (ids, separated by blanks)
    Column("server_role", OptionalChoice(ServerRole)),
    Column("rooms", Text),
)
Index("tickets_actor", tickets.c.actor_key, tickets.c.id)
Index("tickets_expires", tickets.c.expires_ms)
ticket_is_invitation = tickets.c.room_key.is_not(None)
ticket_is_to_server = tickets.c.server_role.is_not(None)
_partial_index("tickets_room", ticket_is_invitation, tickets.c.room_key, tickets.c.created_ms)
_partial_index("tickets_server", ticket_is_to_server, tickets.c.id)

agents = _table(
    "agents",
    Column("actor_key", Key, ForeignKey("actors.key"), primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False),  # the newest of its card's
    Column("owner_key", Key, ForeignKey("actors.key")),  # null: the server's own
    Column("audience", Choice(Audience), nullable=False),
    # since when it answers no more
    Column("archived_ms", BigInteger),
)
agent_has_owner = agents.c.owner_key.is_not(None)
_partial_index("agents_owner", agent_has_owner, agents.c.owner_key)

agent_versions = _table(
    "agent_versions",
    Column("actor_key", Key, ForeignKey("actors.key"), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("card", Json),
    Column("by_key", Key),  # null: the operator, or a program
    Column("at_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("actor_key", "version"),
)

# who else may use an agent that is not for everyone
agent_people = _table(
    "agent_people",
    Column("agent_key", Key, ForeignKey("actors.key"), nullable=False),
    Column("person_key", Key, ForeignKey("actors.key"), nullable=False),
    PrimaryKeyConstraint("agent_key", "person_key"),
)
Index("agent_people_person", agent_people.c.person_key)

rooms = _table(
    "rooms",
    Column("key", Key, primary_key=True, autoincrement=True),
    Column("id", Id("r_"), nullable=False, unique=True),
    Column("title", SafeText, nullable=False),
    # the title as the search compares it, because the engines fold case differently
    Column("title_folded", SafeText, nullable=False),
    Column("title_source", Choice(TitleSource), nullable=False),
    Column("visibility", Choice(Visibility), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("chain", Digest, nullable=False),  # see store.hash_chain
    Column("created_ms", BigInteger, nullable=False),
    Column("active_ms", BigInteger, nullable=False),
    Column("deleted_ms", BigInteger),
    Column("settings", Json),
    # through which it was made, where that is not our own page
    Column("door", Text),
    # the room under which it stands, such as that out of which it came; like messages it has no foreign key
    Column("parent_key", Key),
    # since when nothing more is said in it
    Column("archived_ms", BigInteger),
    # to whom its owner opened it, and as what they are there; null in a room that is everyone's
    Column("open_to", Choice(OpenTo)),
    Column("open_role", Choice(MemberRole)),
    # the newest clearing of its history that stands, and up to where it goes: see store.write.clearing
    Column("cleared_seq", BigInteger),
    Column("cleared_upto", BigInteger),
    # the branch that who has chosen none sees, null for the first; and the last one that was made, null for none
    Column("main_branch", Integer),
    Column("last_branch", Integer),
    # the room whose messages up to a seq it began with
    Column("forked_key", Key),
    Column("forked_seq", BigInteger),
)
room_is_live = rooms.c.deleted_ms.is_(None)
room_is_open = rooms.c.visibility == literal_column("'open'")
room_is_opened = rooms.c.open_role.is_not(None)
"""Of a room, by its owner."""
room_is_shown = room_is_open & rooms.c.open_role.is_(None)
"""Of a room, in everyone's list."""
_partial_index("rooms_active", room_is_live, rooms.c.active_ms, rooms.c.key)
_partial_index("rooms_open", room_is_shown & room_is_live, rooms.c.active_ms, rooms.c.key)
_partial_index("rooms_opened", room_is_opened & room_is_live, rooms.c.active_ms, rooms.c.key)
_partial_index("rooms_deleted", rooms.c.deleted_ms.is_not(None), rooms.c.deleted_ms, rooms.c.key)
_partial_index("rooms_parent", rooms.c.parent_key.is_not(None), rooms.c.parent_key, rooms.c.key)

members = _table(
    "members",
    Column("room_key", Key, ForeignKey("rooms.key"), nullable=False),
    Column("actor_key", Key, ForeignKey("actors.key"), nullable=False),
    Column("role", Choice(MemberRole), nullable=False),
    Column("speaks", OptionalChoice(Speaks)),
    Column("read_seq", BigInteger, nullable=False),
    Column("joined_ms", BigInteger, nullable=False),
    # true for who was removed: a member no more, and kept from coming back by themselves; else null
    Column("kept_out", Boolean),
    # true for who wants to hear nothing of it; else null
    Column("muted", Boolean),
    # true for who has it on top of their list; else null
    Column("pinned", Boolean),
    # how far the room was when this member hid it, until something is said after that
    Column("hidden_seq", BigInteger),
    # of an agent: the event that says what the room has of its own for it (`model.agents.OwnSettings`)
    Column("settings_seq", BigInteger),
    # the branch that this member looks at; null for the room's main one
    Column("branch", Integer),
    PrimaryKeyConstraint("room_key", "actor_key"),
)
Index("members_actor", members.c.actor_key)
member_is_in = members.c.kept_out.is_(None)
_partial_index(
    *("members_roles", member_is_in, members.c.room_key, members.c.role),
    *(members.c.joined_ms, members.c.actor_key),
)
member_is_owner = members.c.role == literal_column("'owner'")
member_is_agent = members.c.speaks.is_not(None)
member_has_pinned = members.c.pinned.is_not(None)
_partial_index("members_pinned", member_has_pinned, members.c.actor_key)
_partial_index("members_agents", member_is_agent, members.c.room_key)

messages = _table(
    "messages",
    Column("room_key", Key, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("id", Id("m_"), nullable=False, unique=True),
    Column("author_key", Key, nullable=False),
    Column("role", Choice(Role), nullable=False),
    Column("status", Choice(Status), nullable=False),
    Column("kind", Text, nullable=False),
    Column("text", SafeText, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("cid", Cid),
    Column("reply_to_seq", BigInteger),
    Column("branch", Integer, nullable=False),
    Column("edited_ms", BigInteger),
    Column("deleted_ms", BigInteger),
    Column("meta", Json),
    Column("salt", Digest),  # see store.hash_chain
    Column("digest", Digest),
    PrimaryKeyConstraint("room_key", "seq"),
)
message_has_cid = messages.c.cid.is_not(None)
Index("messages_branches", messages.c.room_key, messages.c.branch, messages.c.seq)
_partial_index("messages_cid", message_has_cid, messages.c.cid, messages.c.author_key, unique=True)
message_is_deleted = messages.c.deleted_ms.is_not(None)
_partial_index(
    *("messages_deleted", message_is_deleted),
    *(messages.c.deleted_ms, messages.c.room_key, messages.c.seq),
)

events = _table(
    "events",
    Column("room_key", Key, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("type", Choice(EventType), nullable=False),
    Column("actor_key", Key),
    Column("at_ms", BigInteger, nullable=False),
    Column("message_seq", BigInteger),
    Column("data", Json),
    Column("chain", Digest, nullable=False),
    Column("salt", Digest),  # where there is data
    Column("digest", Digest),
    PrimaryKeyConstraint("room_key", "seq"),
)
event_is_later = events.c.type != literal_column("'message.created'")
"""Of an event: it happened to a message after it was created, or to the room."""
_partial_index(
    *("events_later", event_is_later, events.c.room_key),
    *(events.c.message_seq, events.c.type, events.c.seq),
)

# what happened across all rooms, one row for each commit, oldest first: `{"rooms": [[room_key, first, last], …]}`
feed = _table(
    "feed",
    Column("position", Key, primary_key=True, autoincrement=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("spans", Json, nullable=False),
)

# where several processes write, a commit leaves its spans here, until they are put into the feed in one order
unfed = _table(
    "unfed",
    Column("key", Key, primary_key=True, autoincrement=True),
    Column("room_key", Key, nullable=False),
    Column("first_seq", BigInteger, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
)

# how far in the feed its readers are that work beside the server
consumers = _table(
    "consumers",
    Column("name", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
)

turns = _table(
    "turns",
    Column("id", Id("t_"), primary_key=True),
    Column("room_key", Key, ForeignKey("rooms.key"), nullable=False),
    Column("agent_key", Key, ForeignKey("actors.key"), nullable=False),
    Column("trigger_seq", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("message_id", Id("m_"), nullable=False, unique=True),
    Column("state", Choice(TurnState), nullable=False),
    Column("owner", Text, nullable=False),
    # on the database's clock; null on SQLite, where the process that has the file owns every turn
    Column("lease_until_ms", BigInteger),
    Column("fence", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger),
    Column("error", Text),
    # null for the turns that Palaver runs itself
    Column("external", Boolean),
    # of what its model was told, once it has ended: see `model.agents.Told`
    Column("card_version", Integer),
    Column("prompt_digest", Digest),
    Column("headed", Boolean),
    Column("tokens_max", BigInteger),
    Column("settings_seq", BigInteger),
    # what is reserved of budgets for its answer as long as it is open
    Column("reserved_tokens", BigInteger),
    Column("reserved_micros", BigInteger),
    # how many turns since somebody said what is at `root_seq`, and who asked and pays: null where nobody did
    Column("depth", Integer),
    Column("root_seq", BigInteger),
    Column("asker_key", Key),
    # the turn after which it begins, until that has ended; and up to where it is told what was said
    Column("waits_for", Id("t_")),
    Column("context_seq", BigInteger),
    # the model that was asked for by name, and which of several that is
    Column("model", SafeText),
    Column("choice", Integer),
    # of the message that it becomes, null for the first
    Column("branch", Integer),
    UniqueConstraint("room_key", "trigger_seq", "agent_key", "attempt", name="turns_attempts"),
)
Index("turns_agent", turns.c.agent_key)  # also what deleting an actor looks at, as some below
turn_is_open = turns.c.state == literal_column("'open'")
_partial_index("turns_open", turn_is_open, turns.c.room_key)
_partial_index("turns_waiting", turns.c.waits_for.is_not(None), turns.c.waits_for)
turn_is_of_agents = turns.c.depth > literal_column("1")
"""Of a turn, which an agent's words have set off."""
_partial_index("turns_of_agents", turn_is_of_agents, turns.c.room_key, turns.c.created_ms)

# what running answers have come to, once a second, where other hosts may have to take them over
partials = _table(
    "partials",
    Column("turn_id", Id("t_"), ForeignKey("turns.id"), nullable=False),
    Column("place", Integer, nullable=False),
    Column("text", SafeText, nullable=False),
    Column("reasoning", SafeText, nullable=False),
    PrimaryKeyConstraint("turn_id", "place"),
)

keys = _table(
    "keys",
    Column("id", Id("k_"), primary_key=True),
    Column("token_sha256", LargeBinary, nullable=False, unique=True),
    Column("actor_key", Key, ForeignKey("actors.key"), nullable=False),
    Column("name", SafeText, nullable=False),
    Column("scopes", Text, nullable=False),  # words, separated by blanks
    Column("created_ms", BigInteger, nullable=False),
    Column("last_used_ms", BigInteger),
    Column("revoked_ms", BigInteger),
    Column("expires_ms", BigInteger),
    Column("rooms", Text),  # ids, separated by blanks
)
Index("keys_actor", keys.c.actor_key)

# what answers used, by the day (since 1970, UTC) on which they were stored: added up once, with the answer. `asker_key`
# is who set them off, 0 where nobody did, and `profile` the provider's name
usage = _table(
    "usage",
    Column("day", Integer, nullable=False),
    Column("asker_key", Key, nullable=False),
    Column("agent_key", Key, nullable=False),
    Column("profile", SafeText, nullable=False),
    Column("model", SafeText, nullable=False),
    Column("answers", BigInteger, nullable=False),
    Column("input", BigInteger, nullable=False),
    Column("output", BigInteger, nullable=False),
    Column("cached", BigInteger, nullable=False),  # of the input
    Column("reasoning", BigInteger, nullable=False),  # of the output
    Column(
        "cost_micros", BigInteger, nullable=False
    ),  # millionths of a dollar, of those with a price
    Column("unpriced", BigInteger, nullable=False),  # answers without one
    Column("estimated", BigInteger, nullable=False),  # answers whose tokens nobody counted
    Column("failed", BigInteger),  # answers that failed, counted or not; null: before these were
    PrimaryKeyConstraint("day", "asker_key", "agent_key", "profile", "model"),
)
Index("usage_asker", usage.c.asker_key, usage.c.day)
Index("usage_agent", usage.c.agent_key, usage.c.day)

# how many of a day's answers began within so many milliseconds, see `write.usage`
waits = _table(
    "waits",
    Column("day", Integer, nullable=False),
    Column("profile", SafeText, nullable=False),
    Column("model", SafeText, nullable=False),
    Column("within_ms", BigInteger, nullable=False),
    Column("answers", BigInteger, nullable=False),
    PrimaryKeyConstraint("day", "profile", "model", "within_ms"),
)

# how much the answers of the server (`of_key` 0), a person or an agent may use in a period; null: no bound
budgets = _table(
    "budgets",
    Column("kind", Choice(BudgetKind), nullable=False),
    Column("of_key", Key, nullable=False),
    Column("period", Choice(BudgetPeriod), nullable=False),
    Column("tokens", BigInteger),
    Column("cost_micros", BigInteger),
    PrimaryKeyConstraint("kind", "of_key", "period"),
)

# what is reserved of budgets for answers that nobody keeps, until they are counted: of those that run now
reserves = _table(
    "reserves",
    Column("id", Id("t_"), primary_key=True),
    Column("owner", Text, nullable=False),
    Column("lease_until_ms", BigInteger),  # as of turns
    Column("asker_key", Key, nullable=False),
    Column("agent_key", Key, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("micros", BigInteger, nullable=False),
)

prompts = _table(
    "prompts",
    Column("id", Id("p_"), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("actor_key", Key, ForeignKey("actors.key"), nullable=False),
    Column("name", SafeText, nullable=False),
    Column("text", SafeText, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("deleted_ms", BigInteger),
    PrimaryKeyConstraint("id", "version"),
)
Index("prompts_actor", prompts.c.actor_key, prompts.c.id)

# connections to model servers: a person's own, or the server's
profiles = _table(
    "profiles",
    Column("key", Key, primary_key=True, autoincrement=True),
    Column("id", Id("f_"), nullable=False, unique=True),
    Column("owner_key", Key, ForeignKey("actors.key")),
    Column("kind", Choice(ProfileKind), nullable=False),
    Column("name", SafeText, nullable=False),
    Column("base_url", SafeText, nullable=False),
    Column("model", SafeText),
    Column("sealed", Digest),  # its key, and its headers as JSON; see `sealing`
    Column("headers_sealed", Digest),
)
Index("profiles_owner", profiles.c.owner_key)
_partial_index("profiles_servers", profiles.c.owner_key.is_(None), profiles.c.key)

exchanges = _table(
    "exchanges",
    Column("id", Id("x_"), primary_key=True),
    Column("room_key", Key, ForeignKey("rooms.key"), nullable=False),
    Column("actor_key", Key, ForeignKey("actors.key"), nullable=False),
    Column("turn_id", Id("t_"), nullable=False, unique=True),
    Column("kind", Choice(ExchangeKind), nullable=False),
    Column("state", Choice(ExchangeState), nullable=False),
    Column("name", SafeText),
    Column("model", SafeText, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger),
    Column("deleted_ms", BigInteger),
    Column("previous_id", Id("x_")),
    Column("kept", Boolean, nullable=False),
    Column("body_digest", Digest),  # of the request, by which a repeated one is recognised
    Column("seqs", Json, nullable=False),  # see `model.exchanges.Seqs`
    Column("request", Json),
    Column("response", Json),
    Column("metadata", Json),
)
Index("exchanges_actor", exchanges.c.actor_key)
Index("exchanges_room", exchanges.c.room_key, exchanges.c.id)
exchange_is_kept = exchanges.c.kept.is_(True)
_partial_index("exchanges_kept", exchange_is_kept, exchanges.c.actor_key, exchanges.c.id)
_partial_index("exchanges_name", exchanges.c.name.is_not(None), exchanges.c.name)
_partial_index("exchanges_body", exchanges.c.body_digest.is_not(None), exchanges.c.body_digest)

# where what a client sends again was met: a whole history, answered or not, an answer with its question, or one alone
prefixes = _table(
    "prefixes",
    Column("actor_key", Key, ForeignKey("actors.key"), nullable=False),
    Column("digest", Digest, nullable=False),
    Column("exchange_id", Id("x_"), nullable=False),
    Column("answered", Boolean, nullable=False),
    PrimaryKeyConstraint("actor_key", "digest", "exchange_id"),
)

# which room a client's own id of a conversation means
client_rooms = _table(
    "client_rooms",
    Column("actor_key", Key, ForeignKey("actors.key"), nullable=False),
    Column("digest", Digest, nullable=False),
    Column("room_key", Key, ForeignKey("rooms.key"), nullable=False),
    PrimaryKeyConstraint("actor_key", "digest"),
)

# what requests said beside the messages of their room: prompts that changed, summaries, other forms of a question
asides = _table(
    "asides",
    Column("room_key", Key, ForeignKey("rooms.key"), nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("digest", Digest, nullable=False),
    Column("said", Json, nullable=False),
    Column("author_key", Key),
    PrimaryKeyConstraint("room_key", "number"),
    UniqueConstraint("room_key", "digest", name="asides_digest"),
)
