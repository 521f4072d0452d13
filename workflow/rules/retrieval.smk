rule list_events:
    input:
        ancient(paths.facts_table("{key}")),
    output:
        paths.events_table("{key}"),
    log:
        paths.log_file("list_events", "{key}"),
    conda:
        "../envs/kformer.yaml"
    resources:
        mem_mb=8000,
    shell:
        "kformer events --facts {input} --out {output} 2>&1 | tee {log}"


# Only where the facts are split: an index of all facts counts their words itself.
rule count_words:
    input:
        lambda wildcards: ancient(STUDY.indexes[wildcards.key].documents),
    output:
        paths.word_counts("{key}", "{scatteritem}"),
    log:
        paths.log_file("count_words", "{key}-{scatteritem}"),
    conda:
        "../envs/kformer.yaml"
    resources:
        mem_mb=4000,
        runtime="2h",
    params:
        settings=lambda wildcards: as_json(STUDY.indexes[wildcards.key].settings),
    shell:
        "kformer count-words --facts {input} --shard {wildcards.scatteritem} --out {output}"
        " --settings {params.settings:q} 2>&1 | tee {log}"


rule index_words:
    input:
        documents=lambda wildcards: ancient(STUDY.indexes[wildcards.key].documents),
        counts=counts_of_all_shards,
    output:
        directory(paths.index_folder("{key}", "{scatteritem}")),
    log:
        paths.log_file("index_words", "{key}-{scatteritem}"),
    wildcard_constraints:
        key="words-[0-9a-f]+",
    conda:
        "../envs/kformer.yaml"
    resources:
        mem_mb=8000,
        runtime="2h",
    params:
        settings=lambda wildcards: as_json(STUDY.indexes[wildcards.key].settings),
        counts=lambda wildcards, input: options("counts", input.counts),
    shell:
        "kformer index words --facts {input.documents} --shard {wildcards.scatteritem}"
        " {params.counts} --out {output} --settings {params.settings:q} 2>&1 | tee {log}"


rule index_embeddings:
    input:
        lambda wildcards: ancient(STUDY.indexes[wildcards.key].documents),
    output:
        directory(paths.index_folder("{key}", "{scatteritem}")),
    log:
        paths.log_file("index_embeddings", "{key}-{scatteritem}"),
    wildcard_constraints:
        key="embeddings-[0-9a-f]+",
    conda:
        "../envs/kformer.yaml"
    threads: 8
    resources:
        gpu=GPU,
        mem_mb=16000,
        runtime="4h",
    params:
        settings=lambda wildcards: as_json(STUDY.indexes[wildcards.key].settings),
        content=lambda wildcards: STUDY.indexes[wildcards.key].encoder or "-",
    shell:
        "kformer index embeddings --facts {input} --shard {wildcards.scatteritem} --out {output}"
        " --content {params.content}"
        " --settings {params.settings:q} 2>&1 | tee {log}"


rule retrieve_facts:
    input:
        questions=ancient(STUDY.questions),
        facts=facts_of_retrieval,
        indexes=indexes_of_retrieval,
    output:
        temp(paths.retrieval_part("{key}", "{scatteritem}")),
    log:
        paths.log_file("retrieve_facts", "{key}-{scatteritem}"),
    conda:
        "../envs/kformer.yaml"
    threads: 8
    resources:
        gpu=lambda wildcards: (
            GPU
            if "embeddings" in STUDY.retrievals[wildcards.key].settings.index_kinds
            else 0
        ),
        mem_mb=8000,
        runtime="4h",
    params:
        settings=lambda wildcards: as_json(
            STUDY.retrievals[wildcards.key].settings.relevant_settings()
        ),
        indexes=lambda wildcards, input: options("index", input.indexes),
    shell:
        "kformer retrieve --questions {input.questions} --facts {input.facts} {params.indexes}"
        " --shard {wildcards.scatteritem} --threads {threads} --out {output}"
        " --settings {params.settings:q} 2>&1 | tee {log}"


rule gather_retrieval:
    input:
        questions=ancient(STUDY.questions),
        parts=lambda wildcards: gather.retrieval(
            str(paths.retrieval_part(wildcards.key, "{scatteritem}"))
        ),
    output:
        paths.retrieval_table("{key}"),
    log:
        paths.log_file("gather_retrieval", "{key}"),
    conda:
        "../envs/kformer.yaml"
    shell:
        "kformer gather {input.parts} --questions {input.questions} --out {output}"
        " 2>&1 | tee {log}"


rule describe_retrieval:
    input:
        questions=ancient(STUDY.questions),
        facts=facts_of_retrieval,
        retrieval=lambda wildcards: retrieved(
            wildcards.key, paths.retrieval_table(wildcards.key)
        ),
    output:
        page=paths.retrieval_report("{key}").page,
        numbers=paths.retrieval_report("{key}").numbers,
        sample=report(
            paths.retrieval_report("{key}").sample,
            category="Retrieval",
            labels={"sample": "20 questions and their facts", "retrieval": "{key}"},
        ),
    log:
        paths.log_file("describe_retrieval", "{key}"),
    conda:
        "../envs/kformer.yaml"
    resources:
        mem_mb=8000,
    params:
        version=VERSIONS["describe_retrieval"],
        out=lambda wildcards: paths.retrieval_report(wildcards.key).folder,
        # A table does not say a language that its search did not need; the report needs it.
        words=lambda wildcards: as_json(STUDY.retrievals[wildcards.key].settings.words),
    shell:
        "kformer describe-retrieval --questions {input.questions} --facts {input.facts}"
        " --retrieval {input.retrieval} --out {params.out}"
        " --words {params.words:q} 2>&1 | tee {log}"


rule make_control:
    input:
        questions=ancient(STUDY.questions),
        facts=facts_of_retrieval,
        retrieval=lambda wildcards: retrieved(
            wildcards.key, paths.retrieval_table(wildcards.key)
        ),
    output:
        paths.control_table("{key}", "{control}"),
    log:
        paths.log_file("make_control", "{key}-{control}"),
    wildcard_constraints:
        control="|".join(get_args(Control)),
    conda:
        "../envs/kformer.yaml"
    resources:
        mem_mb=8000,
    shell:
        "kformer control {wildcards.control} --questions {input.questions}"
        " --facts {input.facts} --retrieval {input.retrieval} --out {output} 2>&1 | tee {log}"
