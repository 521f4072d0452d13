TRAINED_RUN = STUDY.run("{condition}", "{seed}")


rule train_model:
    input:
        unpack(tables_of_facts),
        questions=ancient(STUDY.questions),
        # Not ancient: it is newer than a model of another plan, see kformer/study/plans.py.
        plan=STUDY.plan("{condition}-{seed}"),
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
        # Nothing runs again when they change, for the plan says what does: they are derived, as
        # Snakemake calls it, for they take `resources`.
        options=lambda wildcards, resources: as_json(
            STUDY.train_options(wildcards.condition)
        ),
        facts=options_of_facts,
        content=lambda wildcards, resources: STUDY.encoder(wildcards.condition) or "-",
        out=lambda wildcards: STUDY.run(wildcards.condition, wildcards.seed).path,
        # Of its own, and no output: Snakemake deletes the outputs of a job that failed.
        checkpoints=lambda wildcards: STUDY.checkpoints(
            wildcards.condition, wildcards.seed
        ),
    shell:
        # A batch system sends its warnings to all processes of a job. `kformer train` hears them;
        # bash and tee must outlive it, for its status and its last line.
        "trap '' TERM USR1; "
        "kformer train --questions {input.questions} {params.facts} --out {params.out}"
        " --checkpoints {params.checkpoints} --seed {wildcards.seed} --content {params.content}"
        " --plan {input.plan} --settings {params.options:q} 2>&1 | tee {log}"
