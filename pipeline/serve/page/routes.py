"""The page's addresses, and the way from a request to HTML."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pipeline.serve.guard.headers import REQUEST_ID
from pipeline.serve.page import searching
from pipeline.serve.page.builds import builds
from pipeline.serve.page.facets import FacetFields
from pipeline.serve.page.frame import BUILDS, frame
from pipeline.serve.page.showing import DOCUMENT
from pipeline.serve.page.state import PageState
from pipeline.serve.page.templating import StaticFiles, Templates
from pipeline.serve.page.views import Failure
from pipeline.serve.page.words import Words, words_for
from pipeline.serve.problems import Problem, as_problem, not_found
from pipeline.serve.service import Service

_PROGRAMS = ("/v1/", "/mcp", "/openapi.json", "/metrics", "/livez", "/readyz")


@dataclass(frozen=True, slots=True)
class Visit:
    """A request for a page."""

    request: Request
    state: PageState
    words: Words

    @classmethod
    def of(cls, request: Request) -> Visit:
        """Read what is asked for."""
        state = PageState.of(request.query_params)
        return cls(request, state, words_for(state.lang, request.headers.get("accept-language", "")))

    @property
    def request_id(self) -> str:
        """By which the log speaks of the request."""
        return str(self.request.scope.get("state", {}).get(REQUEST_ID, ""))

    @property
    def here(self) -> str:
        """The address of the page, without the host; never one that a browser could take for another host's."""
        path, query = "/" + quote(self.request.scope["path"].lstrip("/")), self.request.url.query
        return f"{path}?{query}" if query else path

    def parameter(self, name: str) -> str:
        """A value of the query string that is no part of a search."""
        return self.request.query_params.get(name, "")


class Site:
    """All pages of one service."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._fields = FacetFields()
        self._files = StaticFiles()
        self._templates = Templates(self._files)

    def routes(self) -> list[Route]:
        """The addresses; none of them changes anything."""
        return [
            Route("/", self._answering("/", self._search), methods=["GET"]),
            Route(DOCUMENT, self._answering(DOCUMENT, self._document), methods=["GET"]),
            Route(BUILDS, self._answering(BUILDS, self._builds), methods=["GET"]),
            Route("/static/{name}", self._file, methods=["GET"]),
        ]

    def failure(self, request: Request, error: HTTPException) -> Response | None:
        """The page for an address that there is not; `None` if a program asked."""
        is_people = "text/html" in request.headers.get("accept", "")
        if not is_people or request.url.path.startswith(_PROGRAMS) or request.method not in ("GET", "HEAD"):
            return None
        return self._refused(Visit.of(request), Problem(error.status_code, error.detail, headers=error.headers))

    def _answering(self, route: str, page: Callable[[Visit], Response]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            started, service = time.perf_counter(), self._service
            visit = Visit.of(request)
            try:
                response = await service.workers.run(lambda: page(visit))
            except Exception as error:
                response = self._refused(visit, as_problem(error, service.folders, visit.request_id))
            service.metrics.requests.labels(route, request.method, str(response.status_code)).inc()
            service.metrics.seconds.labels(route).observe(time.perf_counter() - started)
            return response

        return answer

    def _search(self, visit: Visit) -> Response:
        state, words = visit.state, visit.words
        if state.like:
            results = searching.found_similar(self._service, state, words)
            return self._page("search.html", visit, words.similar_title.format(results.similar_to), results=results)
        if not state.q:
            self._service.holder(state.index)
            return self._page("search.html", visit, words.search, results=None)
        results = searching.found(self._service, self._fields, state, words)
        return self._page("search.html", visit, words.result_title.format(state.q), results=results)

    def _document(self, visit: Visit) -> Response:
        state, words = visit.state, visit.words
        view = searching.opened(self._service, visit.parameter("id"), visit.parameter("at"), state, words)
        return self._page("document.html", visit, view.title, document=view)

    def _builds(self, visit: Visit) -> Response:
        view = builds(self._service, visit.parameter("generation"), visit.state, visit.words)
        return self._page("builds.html", visit, visit.words.report, builds=view)

    async def _file(self, request: Request) -> Response:
        found = self._files.response(request.path_params["name"], request.query_params.get("v", ""))
        if found is None:
            return self._refused(Visit.of(request), not_found("there is no such file"))
        return found

    def _refused(self, visit: Visit, problem: Problem) -> Response:
        """A page that says what is wrong, with the form as it was, so that it can be mended."""
        shown = _failure(visit, problem)
        status = 400 if problem.status == 422 else problem.status
        kind = {"results": None, "is_missing": status == 404}
        return self._page("failure.html", visit, shown.title, status, problem.headers, failure=shown, **kind)

    def _page(
        self,
        name: str,
        visit: Visit,
        title: str,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **view: object,
    ) -> Response:
        around = frame(self._service, visit.state, visit.words, title, visit.here)
        shown = {"failure": None, **view, "frame": around, "words": visit.words, "state": visit.state}
        language = {"Content-Language": visit.words.code}
        return self._templates.response(name, shown, status, {**language, **(headers or {})})


def _failure(visit: Visit, problem: Problem) -> Failure:
    """What to tell people of a problem."""
    words = visit.words
    match problem.status:
        case 404:
            is_document = visit.request.url.path == DOCUMENT or visit.state.like
            return Failure(words.no_document if is_document else words.not_found, words.not_found_help)
        case 400 | 422:
            is_filter = visit.state.is_narrowed and problem.detail.startswith("filter")
            return Failure(words.bad_filter if is_filter else words.wrong, problem.detail, is_filter)
        case 429:
            return Failure(words.busy, "")
        case 503:
            return Failure(words.unavailable, "")
        case 504:
            return Failure(words.slow, "")
    return Failure(words.failed.format(visit.request_id), "")
