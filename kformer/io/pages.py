"""Pages that people open from disk: what they show of the data is text, and they load nothing."""

from collections.abc import Callable

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, Template


def page_template(package: str, name: str, **filters: Callable[..., str]) -> Template:
    """A template of a page in a package, which begins by including ``page_head.html``.

    Args:
        package: where it lies, such as ``kformer.report``.
        name: of its file.
        filters: functions that it calls, by the names that it has for them.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package, ""), PackageLoader("kformer.io", "")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= filters
    return environment.get_template(name)
