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
        'kformer fetch {wildcards.source} --out {output} --settings "$KFORMER_SOURCE_{wildcards.source}"'
        " 2>&1 | tee {log}"


rule read_questions:
    input:
        folder=source_folder(EXPERIMENT.questions.source),
    output:
        "results/shared/questions/{key}/questions.parquet",
    log:
        "results/logs/read_questions/{key}.log",
    conda:
        "../envs/kformer.yaml"
    params:
        settings=plain(EXPERIMENT.questions),
    shell:
        "kformer questions --folder {input.folder} --out {output}"
        " --settings {params.settings:q} 2>&1 | tee {log}"


rule read_facts:
    input:
        folders=lambda wildcards: [
            source_folder(each.source) for each in FACTS[wildcards.key]
        ],
    output:
        "results/shared/facts/{key}/facts.parquet",
    log:
        "results/logs/read_facts/{key}.log",
    conda:
        "../envs/kformer.yaml"
    params:
        settings=lambda wildcards: json.dumps(
            [each.model_dump(mode="json") for each in FACTS[wildcards.key]]
        ),
        folders=lambda wildcards, input: " ".join(
            f"--folder {each.source}={folder}"
            for each, folder in zip(FACTS[wildcards.key], input.folders)
        ),
    shell:
        "kformer facts {params.folders} --out {output} --settings {params.settings:q}"
        " 2>&1 | tee {log}"
