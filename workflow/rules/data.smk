rule generate_demo_world:
    output:
        directory(paths.source_folder("demo-{key}")),
    log:
        paths.log_file("demo_world", "{key}"),
    wildcard_constraints:
        key="[0-9a-f]+",
    conda:
        "../envs/kformer.yaml"
    params:
        settings=as_json(EXPERIMENT.demo_world),
    shell:
        "kformer demo-world --out {output} --settings {params.settings:q} 2>&1 | tee {log}"


rule fetch_source:
    output:
        directory(paths.source_folder("{source}-{key}")),
    log:
        paths.log_file("fetch_source", "{source}-{key}"),
    wildcard_constraints:
        key="[0-9a-f]+",
    conda:
        "../envs/kformer.yaml"
    shell:
        # Its settings are in the environment: addresses may hold passwords.
        "kformer fetch {wildcards.source} --out {output} 2>&1 | tee {log}"


rule read_questions:
    input:
        made_by_rules([STUDY.question_files]),
    output:
        paths.questions_table("{key}"),
    log:
        paths.log_file("read_questions", "{key}"),
    conda:
        "../envs/kformer.yaml"
    params:
        # Derived, as Snakemake calls it, for it takes `resources`: nothing runs again where the
        # user's files have moved, since the key stands for their content.
        path=lambda wildcards, resources: str(STUDY.question_files.path),
        content=STUDY.question_files.planned_content,
        settings=as_json(EXPERIMENT.questions),
    shell:
        "kformer questions --input {params.path:q} --content {params.content} --out {output}"
        " --settings {params.settings:q} 2>&1 | tee {log}"


rule read_facts:
    input:
        lambda wildcards: made_by_rules(STUDY.facts[wildcards.key].sources),
    output:
        paths.facts_table("{key}"),
    log:
        paths.log_file("read_facts", "{key}"),
    conda:
        "../envs/kformer.yaml"
    params:
        # Derived, as that of questions is.
        paths=lambda wildcards, resources: options(
            "input", [files.path for files in STUDY.facts[wildcards.key].sources]
        ),
        content=lambda wildcards: options(
            "content",
            [files.planned_content for files in STUDY.facts[wildcards.key].sources],
        ),
        settings=lambda wildcards: json.dumps(
            [
                reader.model_dump(mode="json")
                for reader in STUDY.facts[wildcards.key].readers
            ]
        ),
    shell:
        "kformer facts {params.paths} {params.content} --out {output}"
        " --settings {params.settings:q}"
        " 2>&1 | tee {log}"
