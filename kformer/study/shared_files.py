"""The files that an experiment may share with others, in words.

Names and dependencies are those of `kformer.study.layout`.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kformer.encoder_lookup import locate_encoder
from kformer.sources.wanted_files import wanted_files
from kformer.study import paths
from kformer.study.keyed_files import RetrievalFiles, SourceFiles
from kformer.study.layout import Layout
from kformer.study.stage_versions import StageName
from kformer.study.study_file import StudyFile, plain


def shared_files(study: Layout) -> Iterator[StudyFile]:
    """All of them, in the order of the stages."""
    yield from _data(study)
    yield from _encoders(study)
    yield from _questions_and_facts(study)
    yield from _indexes(study)
    for key, retrieval in study.retrievals.items():
        yield from _retrieval(study, key, retrieval)
    yield from _tokens_and_states(study)


def _data(study: Layout) -> Iterator[StudyFile]:
    """What was fetched or generated, and the files of the user."""
    for files, reader, conditions in _sources(study):
        if files.in_place:
            about = f"data of yours, read where it is; its content is {files.key}"
            yield StudyFile(files.path, about, conditions, is_yours=True, is_whole=True)
        elif reader.is_generated:
            yield StudyFile(
                files.path,
                "the demo world, questions and facts that were generated",
                conditions,
                key=files.key,
                stage="demo_world",
                command="kformer demo-world",
                settings=plain(study.experiment.demo_world),
                logs=(paths.log_file("demo_world", files.key.removeprefix("demo-")),),
                is_whole=True,
            )
        else:
            yield from _fetched(study, reader.archive, files, conditions)


def _fetched(
    study: Layout, name: str, files: SourceFiles, conditions: tuple[str, ...]
) -> Iterator[StudyFile]:
    source = study.source(name)
    downloads = Path(os.environ.get("KFORMER_DOWNLOADS") or paths.DOWNLOADS)
    command = f"kformer fetch {name}"
    kept = []
    for file in wanted_files(source, downloads, paths.SOURCES_LOCK):
        addresses = [str(each.text) for each in file.addresses]
        if file.kept:
            kept.append(paths.from_here(file.kept))
            yield StudyFile(
                kept[-1],
                f"the file of {file.title} as it was downloaded",
                conditions,
                command=command,
                target=files.path,
                settings={"addresses": addresses, "sha256": file.expected.sha256},
            )
        else:
            about = f"the file of {file.title}, kept by you"
            for path in (Path(str(each.target)) for each in file.addresses):
                kept.append(path)
                yield StudyFile(path, about, conditions, is_yours=True)
    yield StudyFile(
        files.path,
        f"the files of {name}, verified and unpacked",
        conditions,
        key=files.key,
        command=command,
        settings=plain(source),
        inputs=tuple(kept),
        logs=(paths.log_file("fetch_source", files.key),),
        is_whole=True,
    )


def _sources(study: Layout) -> list[tuple[SourceFiles, Any, tuple[str, ...]]]:
    """The files of each source, its reader, and the conditions that use it."""
    questions = study.question_files
    found: dict[Path, tuple[SourceFiles, Any]] = {
        questions.path: (questions, study.experiment.questions)
    }
    users: dict[Path, set[str]] = {questions.path: set(study.conditions)}
    for name, retrieval in study.retrieval_of.items():
        facts = retrieval.facts
        for files, reader in zip(facts.sources, facts.readers, strict=True):
            found.setdefault(files.path, (files, reader))
            users.setdefault(files.path, set()).add(name)
    return [
        (files, reader, tuple(name for name in study.conditions if name in users[path]))
        for path, (files, reader) in found.items()
    ]


def _encoders(study: Layout) -> Iterator[StudyFile]:
    """The folders of those that are on this machine."""
    users: dict[str, list[str]] = {}
    for name, condition in study.conditions.items():
        trained = [condition.model.encoder] if condition.answer_by == "model" else []
        embedding = [condition.retrieval.encoder] if condition.embeds_facts else []
        for encoder in dict.fromkeys([*trained, *embedding]):
            users.setdefault(encoder, []).append(name)
    for encoder, conditions in users.items():
        folder = Path(locate_encoder(encoder))
        if folder.is_dir():
            about = f"the encoder {encoder}, read where it is"
            yield StudyFile(folder, about, tuple(conditions), is_yours=True, is_whole=True)


def _questions_and_facts(study: Layout) -> Iterator[StudyFile]:
    yield StudyFile(
        study.questions,
        "the table of questions",
        tuple(study.conditions),
        key=study.questions_key,
        stage="questions",
        command="kformer questions",
        settings=plain(study.experiment.questions),
        inputs=(study.question_files.path,),
        logs=(paths.log_file("read_questions", study.questions_key),),
    )
    retrieved = study.retrieval_of.items()
    for key, facts in study.facts.items():
        users = tuple(name for name, each in retrieved if each.facts.key == key)
        yield StudyFile(
            paths.facts_table(key),
            "the table of facts",
            users,
            key=key,
            stage="facts",
            command="kformer facts",
            settings={"knowledge": [plain(reader) for reader in facts.readers]},
            inputs=tuple(files.path for files in facts.sources),
            logs=(paths.log_file("read_facts", key),),
        )
        events = paths.events_table(key)
        searched = [index for index in study.indexes.values() if index.documents == events]
        if searched:
            yield StudyFile(
                events,
                "the table of the events that facts are about",
                users,
                key=f"{key}/{events.stem}",
                stage="events",
                command="kformer events",
                inputs=(paths.facts_table(key),),
                logs=(paths.log_file("list_events", key),),
            )


def _indexes(study: Layout) -> Iterator[StudyFile]:
    retrieved = study.retrieval_of.items()
    for key, index in study.indexes.items():
        kind = key.partition("-")[0]
        stage: StageName = "index_words" if kind == "words" else "index_embeddings"
        rules = ("count_words", stage) if kind == "words" else (stage,)
        yield StudyFile(
            paths.index_folder(key, "*").parent,
            f"an index of the {kind} of facts, a folder for each shard",
            tuple(name for name, each in retrieved if index in each.indexes),
            key=key,
            stage=stage,
            command=f"kformer index {kind}",
            target=paths.index_folder(key, "1-of-1"),
            settings=index.settings,
            inputs=(index.documents,),
            logs=tuple(paths.log_file(rule, f"{key}-*") for rule in rules),
            is_whole=True,
        )


def _retrieval(study: Layout, key: str, retrieval: RetrievalFiles) -> Iterator[StudyFile]:
    users = tuple(name for name, each in study.retrieval_of.items() if each.key == key)
    table, facts = paths.retrieval_table(key), paths.facts_table(retrieval.facts.key)
    indexes = tuple(paths.index_folder(index.key, "*").parent for index in retrieval.indexes)
    settings = retrieval.settings.relevant_settings()
    yield StudyFile(
        table,
        "the facts that were found for each question",
        users,
        key=key,
        stage="retrieve",
        command="kformer retrieve, kformer gather",
        settings=settings,
        inputs=(study.questions, facts, *indexes),
        logs=(
            paths.log_file("retrieve_facts", f"{key}-*"),
            paths.log_file("gather_retrieval", key),
        ),
    )
    parts = paths.retrieval_part(key, "*").parent
    about = "what was found for parts of the questions, until it is joined"
    yield StudyFile(parts, about, users, is_whole=True)
    report = paths.retrieval_report(key)
    for path, about in (
        (report.page, "how good what was found is, as a page"),
        (report.numbers, "how good what was found is, in numbers"),
        (report.sample, "20 questions with the facts that were found for them"),
    ):
        yield StudyFile(
            path,
            about,
            users,
            key=f"{key}/{path.name}",
            stage="describe_retrieval",
            command="kformer describe-retrieval",
            inputs=(study.questions, facts, table),
            logs=(paths.log_file("describe_retrieval", key),),
        )
    controls: dict[str, list[str]] = {}
    for name in users:
        if control := study.conditions[name].retrieval.control:
            controls.setdefault(control, []).append(name)
    for kind, controlled in controls.items():
        path = paths.control_table(key, kind)
        yield StudyFile(
            path,
            f"the control {kind} of the facts that were found",
            tuple(controlled),
            key=f"{key}/{path.stem}",
            stage="control",
            command=f"kformer control {kind}",
            inputs=(study.questions, facts, table),
            logs=(paths.log_file("make_control", f"{key}-{kind}"),),
        )


def _tokens_and_states(study: Layout) -> Iterator[StudyFile]:
    for key, tokens in study.tokens.items():
        yield StudyFile(
            paths.token_table(key),
            f"the tokens of a table of {key.partition('-')[0]}",
            tuple(name for name, each in study.tokens_of.items() if tokens in each.values()),
            key=key,
            stage="featurize",
            command="kformer featurize",
            settings={"encoder": tokens.encoder, "content": tokens.content},
            inputs=(tokens.table,),
            logs=(paths.log_file("featurize", key),),
        )
    for key, states in study.states.items():
        yield StudyFile(
            paths.states_folder(key),
            "what the frozen layers of the encoder make of each input",
            tuple(name for name, each in study.states_of.items() if each.key == key),
            key=key,
            stage="states",
            command="kformer states",
            settings=states.settings.relevant_settings(),
            inputs=tuple(states.tables.values()),
            logs=(paths.log_file("compute_states", key),),
            is_whole=True,
        )
