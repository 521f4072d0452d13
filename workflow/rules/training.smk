TRAINED_RUN = STUDY.run("{condition}", "{seed}")


rule train_model:
    input:
        unpack(tables_of_facts),
        questions=ancient(STUDY.questions),
        # Not ancient: whoever finds it newer than the model compares its checksum.
        plan=STUDY.plan("{condition}", "{seed}"),
    output:
        model=directory(TRAINED_RUN.model),
        summary=TRAINED_RUN.summary,
    log:
        STUDY.log("train", "{condition}-{seed}"),
    conda:
        "../envs/kformer.yaml"
    threads: 1
    resources:
        gpu=GPU,
        mem_mb=16000,
        runtime="12h",
    params:
        version=lambda wildcards: STUDY.train_version(wildcards.condition),
        settings=lambda wildcards: as_json(STUDY.train_settings(wildcards.condition)),
        # Passed on, but nothing runs again when it changes: it is derived, as Snakemake calls it,
        # for it takes `resources`.
        options=lambda wildcards, resources: as_json(
            STUDY.train_options(wildcards.condition)
        ),
        facts=options_of_facts,
        content=lambda wildcards: STUDY.encoder(wildcards.condition) or "-",
        out=lambda wildcards: STUDY.run(wildcards.condition, wildcards.seed).path,
        # Of its own, and no output: Snakemake deletes the outputs of a job that failed.
        checkpoints=lambda wildcards: STUDY.checkpoints(
            wildcards.condition, wildcards.seed
        ),
    shell:
        "kformer train --questions {input.questions} {params.facts} --out {params.out}"
        " --checkpoints {params.checkpoints} --seed {wildcards.seed} --content {params.content}"
        " --settings {params.options:q} 2>&1 | tee {log}"
