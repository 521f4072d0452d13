rule retrieve_facts:
    input:
        questions=QUESTIONS,
        facts=lambda wildcards: "results/shared/facts/{}/facts.parquet".format(
            RETRIEVALS[wildcards.key][1]
        ),
    output:
        "results/shared/retrieval/{key}/retrieval.parquet",
    log:
        "results/logs/retrieve_facts/{key}.log",
    conda:
        "../envs/kformer.yaml"
    resources:
        mem_mb=8000,
        runtime="4h",
    params:
        settings=lambda wildcards: plain(RETRIEVALS[wildcards.key][0]),
    shell:
        "kformer retrieve --questions {input.questions} --facts {input.facts} --out {output}"
        " --settings {params.settings:q} 2>&1 | tee {log}"


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
    shell:
        "kformer shuffle --questions {input.questions} --retrieval {input.retrieval}"
        " --out {output} 2>&1 | tee {log}"
