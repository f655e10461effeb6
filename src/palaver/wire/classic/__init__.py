"""The classic wire: the contract of the chat that Palaver grew out of, so that its clients run unmodified.

A session is a room of one guest; the guest is known by the cookie `stupidbot_user_id`. Who has none talks with all
others in the Lobby. Everything behind it is the same core as behind every other door: what is said here is seen live on
the page, and the other way round. docs/classic.md lists every route and frame, and where this wire is better than its
model on purpose.
"""

from palaver.wire.classic.rest import classic_routes as classic_routes
