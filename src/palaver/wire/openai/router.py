"""All addresses below `/v1`. What nobody here answers is passed on to the model server, unless it is ours alone."""

from starlette.routing import Mount, Router

from palaver.core.start import Core
from palaver.wire.openai.chat import Chat
from palaver.wire.openai.completions import Completions
from palaver.wire.openai.conversations import Conversations
from palaver.wire.openai.models import Models
from palaver.wire.openai.passthrough import Passthrough
from palaver.wire.openai.problems import Told
from palaver.wire.openai.responses import Responses


def openai_door(core: Core) -> Mount:
    """The door, to be mounted beside the others."""
    models = Models(core)
    parts = (
        Chat(core, models),
        Completions(core),
        models,
        Conversations(core),
        Responses(core, models),
        Passthrough(core),
    )
    routes = [route for part in parts for route in part.routes()]
    return Mount("/v1", app=Told(Router(routes, redirect_slashes=False)))
