"""The SDK's server, with an answer where its own has none (extra `mcp`)."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from pipeline.integrations.agents.arguments import unknown_argument, wrong_arguments
from pipeline.integrations.agents.pipes import Readable
from pipeline.integrations.extras import needs_extra

with needs_extra("mcp"):
    from mcp.server.mcpserver import Context, MCPServer
    from mcp.server.mcpserver.exceptions import ToolError, UnexpectedToolError
    from mcp.server.stdio import stdio_server
    from mcp.shared.exceptions import MCPError
    from mcp_types import INVALID_PARAMS, CallToolResult, GetPromptResult, InputRequiredResult, Tool


class ToolServer(MCPServer[Any]):
    """Answers what the SDK's own would not: it leaves out an argument that a tool does not have without a word, a
    prompt that there is not is a traceback in its log, and a line that it cannot read has no answer at all."""

    async def list_tools(self) -> list[Tool]:
        return [
            tool.model_copy(update={"input_schema": {**tool.input_schema, "additionalProperties": False}})
            for tool in await super().list_tools()
        ]

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        known = {tool.name: list(tool.input_schema["properties"]) for tool in await self.list_tools()}
        if name in known and (wrong := unknown_argument(arguments, known[name])):
            raise ToolError(f"Error executing tool {name}: {wrong}")
        try:
            return await super().call_tool(name, arguments, context)
        except ToolError as error:
            cause = error.__cause__
            if isinstance(error, UnexpectedToolError) or not isinstance(cause, ValidationError):
                raise
            raise ToolError(f"Error executing tool {name}: {wrong_arguments(cause)}") from cause

    async def get_prompt(
        self, name: str, arguments: dict[str, Any] | None = None, context: Context[Any, Any] | None = None
    ) -> GetPromptResult | InputRequiredResult:
        known = [prompt.name for prompt in await self.list_prompts()]
        if name not in known:
            raise MCPError(INVALID_PARAMS, f"there is no prompt {name!r}; there are: {', '.join(known) or 'none'}")
        return await super().get_prompt(name, arguments, context)

    async def run_stdio_async(self) -> None:
        server = self._lowlevel_server
        async with stdio_server() as (messages, answers):
            readable: Any = Readable(messages, answers)
            await server.run(readable, answers, server.create_initialization_options())
