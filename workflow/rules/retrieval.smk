rule list_events:
    input:
        "results/shared/facts/{key}/facts.parquet",
    output:
        "results/shared/facts/{key}/events.parquet",
    log:
        "results/logs/list_events/{key}.log",
    conda:
        "../envs/kformer.yaml"
    resources:
        mem_mb=8000,
    shell:
        "kformer events --facts {input} --out {output} 2>&1 | tee {log}"


# Only where the facts are split: an index of all facts counts their words itself.
rule count_words:
    input:
        lambda wildcards: INDEXES[wildcards.key][1],
    output:
        "results/shared/index/{key}/{scatteritem}.words.json",
    log:
        "results/logs/count_words/{key}-{scatteritem}.log",
    conda:
        "../envs/kformer.yaml"
    resources:
        mem_mb=4000,
        runtime="2h",
    params:
        settings=lambda wildcards: json.dumps(INDEXES[wildcards.key][0]),
    shell:
        "kformer count-words --facts {input} --shard {wildcards.scatteritem} --out {output}"
        " --settings {params.settings:q} 2>&1 | tee {log}"


rule index_words:
    input:
        documents=lambda wildcards: INDEXES[wildcards.key][1],
        counts=counts_of_all_shards,
    output:
        directory("results/shared/index/{key}/{scatteritem}"),
    log:
        "results/logs/index_words/{key}-{scatteritem}.log",
    wildcard_constraints:
        key="words-[0-9a-f]+",
    conda:
        "../envs/kformer.yaml"
    resources:
        mem_mb=8000,
        runtime="2h",
    params:
        settings=lambda wildcards: json.dumps(INDEXES[wildcards.key][0]),
        counts=lambda wildcards, input: " ".join(
            f"--counts {path}" for path in input.counts
        ),
    shell:
        "kformer index words --facts {input.documents} --shard {wildcards.scatteritem}"
        " {params.counts} --out {output} --settings {params.settings:q} 2>&1 | tee {log}"


rule index_embeddings:
    input:
        lambda wildcards: INDEXES[wildcards.key][1],
    output:
        directory("results/shared/index/{key}/{scatteritem}"),
    log:
        "results/logs/index_embeddings/{key}-{scatteritem}.log",
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
        settings=lambda wildcards: json.dumps(INDEXES[wildcards.key][0]),
    shell:
        "kformer index embeddings --facts {input} --shard {wildcards.scatteritem} --out {output}"
        " --settings {params.settings:q} 2>&1 | tee {log}"


rule retrieve_facts:
    input:
        questions=QUESTIONS,
        facts=facts_of_retrieval,
        indexes=indexes_of_retrieval,
    output:
        temp("results/shared/retrieval/{key}/parts/{scatteritem}.parquet"),
    log:
        "results/logs/retrieve_facts/{key}-{scatteritem}.log",
    conda:
        "../envs/kformer.yaml"
    threads: 8
    resources:
        gpu=lambda wildcards: GPU if embeds_queries(wildcards) else 0,
        mem_mb=8000,
        runtime="4h",
    params:
        settings=retrieval_settings,
        indexes=lambda wildcards, input: " ".join(
            f"--index {path}" for path in input.indexes
        ),
    shell:
        "kformer retrieve --questions {input.questions} --facts {input.facts} {params.indexes}"
        " --shard {wildcards.scatteritem} --threads {threads} --out {output}"
        " --settings {params.settings:q} 2>&1 | tee {log}"


rule gather_retrieval:
    input:
        questions=QUESTIONS,
        parts=lambda wildcards: gather.retrieval(
            f"results/shared/retrieval/{wildcards.key}/parts/{{scatteritem}}.parquet"
        ),
    output:
        "results/shared/retrieval/{key}/retrieval.parquet",
    log:
        "results/logs/gather_retrieval/{key}.log",
    conda:
        "../envs/kformer.yaml"
    shell:
        "kformer gather {input.parts} --questions {input.questions} --out {output}"
        " 2>&1 | tee {log}"


rule describe_retrieval:
    input:
        questions=QUESTIONS,
        facts=facts_of_retrieval,
        retrieval="results/shared/retrieval/{key}/retrieval.parquet",
    output:
        markdown="results/shared/retrieval/{key}/retrieval.md",
        json="results/shared/retrieval/{key}/retrieval.json",
        sample=report(
            "results/shared/retrieval/{key}/sample.html",
            category="Retrieval",
            labels={"sample": "20 questions and their facts", "retrieval": "{key}"},
        ),
    log:
        "results/logs/describe_retrieval/{key}.log",
    conda:
        "../envs/kformer.yaml"
    resources:
        mem_mb=8000,
    params:
        out=lambda wildcards: f"results/shared/retrieval/{wildcards.key}",
        # Also where the method reads none, the report takes text apart.
        words=lambda wildcards: plain(RETRIEVALS[wildcards.key][0].words),
    shell:
        "kformer describe-retrieval --questions {input.questions} --facts {input.facts}"
        " --retrieval {input.retrieval} --out {params.out}"
        " --words {params.words:q} 2>&1 | tee {log}"


rule shuffle_facts:
    input:
        questions=QUESTIONS,
        retrieval="results/shared/retrieval/{key}/retrieval.parquet",
    output:
        "results/shared/retrieval/{key}/shuffled.parquet",
    log:
        "results/logs/shuffle_facts/{key}.log",
    conda:
        "../envs/kformer.yaml"
    resources:
        mem_mb=8000,
    shell:
        "kformer shuffle --questions {input.questions} --retrieval {input.retrieval}"
        " --out {output} 2>&1 | tee {log}"
