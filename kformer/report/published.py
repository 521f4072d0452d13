"""Numbers that others have published, to be shown beside one's own."""

from typing import NamedTuple


class Published(NamedTuple):
    """A number of somebody else."""

    split: str
    system: str
    accuracy: str
    """in %"""
    source: str


PUBLISHED: dict[str, tuple[Published, ...]] = {
    "social_iqa": (
        Published("dev", "BERT-base", "63.3", "kashrest/socialiqa-nlp244, a project report"),
        Published("dev", "RoBERTa-base", "70", "kashrest/socialiqa-nlp244, a project report"),
        Published("dev", "T5-large (Rainbow)", "75.5", "kashrest/socialiqa-nlp244"),
        Published("test", "Unicorn-11B", "83.2", "arXiv 2103.13009"),
        Published("test", "human", "88.1", "arXiv 1904.09728"),
        Published("dev or test", "GPT-1", "63.0", "hyper.ai's listing of arXiv 1904.09728"),
        Published("dev or test", "BERT-large", "64.5", "hyper.ai's listing of arXiv 1904.09728"),
        Published("dev or test", "DeBERTa-large", "80.2", "Papers with Code's listing of TEAM"),
        Published("dev or test", "CompassMTL", "81.7", "Papers with Code's listing"),
    ),
    "med_qa": (
        Published("test", "best of the data set's paper", "36.7", "arXiv 2009.13081"),
        Published("test", "PubMedBERT-base", "38.1", "README of LinkBERT"),
        Published("test", "BioLinkBERT-base", "40.0", "README of LinkBERT"),
        Published("test", "BioLinkBERT-large", "44.6", "README of LinkBERT"),
        Published("test", "GreaseLM", "38.5", "README of GreaseLM"),
        Published("test", "DRAGON", "47.5", "README of DRAGON"),
        Published(
            "test", "BioLinkBERT, retriever learned jointly (VOD)", "55.0", "arXiv 2210.06345"
        ),
    ),
}
"""By data set."""
