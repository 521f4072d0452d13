rule generate_demo_world:
    output:
        directory("resources/demo-{key}"),
    log:
        "results/logs/demo_world/{key}.log",
    conda:
        "../envs/kformer.yaml"
    params:
        settings=plain(EXPERIMENT.demo_world),
    shell:
        "kformer demo-world --out {output} --settings {params.settings:q} 2>&1 | tee {log}"


rule fetch_source:
    output:
        directory("resources/{source}-{key}"),
    log:
        "results/logs/fetch_source/{source}-{key}.log",
    conda:
        "../envs/kformer.yaml"
    shell:
        'kformer fetch {wildcards.source} --out {output} --settings "$KFORMER_SOURCES"'
        " 2>&1 | tee {log}"


rule read_questions:
    input:
        source_folders([EXPERIMENT.questions]),
    output:
        "results/shared/questions/{key}/questions.parquet",
    log:
        "results/logs/read_questions/{key}.log",
    conda:
        "../envs/kformer.yaml"
    params:
        place=lambda wildcards: source_place(EXPERIMENT.questions),
        own_files=own_files([EXPERIMENT.questions]),
        settings=plain(EXPERIMENT.questions),
    shell:
        "kformer questions --input {params.place:q} --out {output}"
        " --settings {params.settings:q} 2>&1 | tee {log}"


rule read_facts:
    input:
        lambda wildcards: source_folders(FACTS[wildcards.key]),
    output:
        "results/shared/facts/{key}/facts.parquet",
    log:
        "results/logs/read_facts/{key}.log",
    conda:
        "../envs/kformer.yaml"
    params:
        places=lambda wildcards: " ".join(
            f"--input {shlex.quote(source_place(reader))}"
            for reader in FACTS[wildcards.key]
        ),
        own_files=lambda wildcards: own_files(FACTS[wildcards.key]),
        settings=lambda wildcards: json.dumps(
            [reader.model_dump(mode="json") for reader in FACTS[wildcards.key]]
        ),
    shell:
        "kformer facts {params.places} --out {output} --settings {params.settings:q}"
        " 2>&1 | tee {log}"
